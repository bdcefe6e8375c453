// Hands an answer of the server to whoever on the page asked for it.

watch("value", () => props.value && props.value.kind && say(props.value.kind, props.value));
