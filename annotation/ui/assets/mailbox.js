// Hands what the server says about a mark to the judging desk.

watch("value", () => props.value && say("saved", props.value));
