// The page that people see first where they sign in by name and password, and what it says when that does not work.

document.documentElement.lang = language;
document.title = t("sign_in.title");

const said = h("p", { class: "era-notice", role: "alert", hidden: true });
const entry = (label, attributes) => h("label", { class: "era-field" }, label, h("input", { required: true, ...attributes }));
const go = h("button", { class: "era-button era-primary" }, t("sign_in.go"));
const form = h("form", { onsubmit: signIn },
  entry(t("sign_in.name"), { name: "username", autocomplete: "username", autocapitalize: "none", autofocus: true }),
  entry(t("sign_in.password"), { name: "password", type: "password", autocomplete: "current-password" }),
  go);

function wrongBecause(answer) {
  if (answer.status === 429) return t("sign_in.wait", { n: Number(answer.headers.get("Retry-After")) || 1 });
  return answer.status === 400 ? t("sign_in.wrong") : t("sign_in.failed", { status: String(answer.status) });
}

async function signIn(event) {
  event.preventDefault();
  said.hidden = true;
  go.disabled = true;
  try {
    const answer = await fetch(new URL("login", document.baseURI), { method: "POST", body: new FormData(form) });
    if (answer.ok) return window.location.reload();
    said.textContent = wrongBecause(answer);
  } catch {
    said.textContent = t("sign_in.unreachable");
  }
  said.hidden = false;
  go.disabled = false;
  form.elements.password.select();
}

document.getElementById("era-sign-in").append(h("h1", {}, t("sign_in.title")), h("p", { class: "era-intro" }, t("sign_in.why")), said, form);
