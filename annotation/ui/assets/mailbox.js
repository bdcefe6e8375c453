// Hands an answer of the server to the part of the page that asked for it.

watch("value", () => props.value && props.value.kind && say(props.value.kind, props.value));
