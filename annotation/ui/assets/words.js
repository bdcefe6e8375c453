// What the page says, in the reader's language. The texts come from assets/words, through gr.I18n, into window.eraWords.

const language = [keptHere("era-language"), ...(navigator.languages || [navigator.language])]
  .map((tag) => String(tag).toLowerCase().split("-")[0]).find((code) => window.eraWords?.[code]) || "en";
// What a person chose in this browser; nothing where pages may keep nothing.
function keptHere(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

// Dress the page light or dark: as the address says, as the person chose, or as the system is.
const isSystemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => {
  const theme = new URL(window.location.href).searchParams.get("__theme") || keptHere("era-theme");
  return theme ? theme === "dark" : isSystemDark.matches;
};
const dress = () => document.documentElement.classList.toggle("dark", isDark());
isSystemDark.addEventListener("change", dress);
dress();

const plurals = new Intl.PluralRules(language);

// A text that is put into another, kept from turning the words around it when it runs from right to left (Unicode's
// first strong isolate).
const FROM_THE_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/;
const isolated = (text) => (FROM_THE_RIGHT.test(text) ? `\u2068${text}\u2069` : text);

// Return the text of a key; {name} is filled in, and with a number `n` the key may end in .zero, .one or .other.
function t(key, values = {}) {
  const texts = window.eraWords?.[language] || {};
  const english = window.eraWords?.en || {};
  const form = values.n === undefined ? null : `${key}.${plurals.select(values.n)}`;
  const none = values.n === 0 ? `${key}.zero` : null; // languages that count nothing as many may say it in words
  const text = texts[none] ?? texts[form] ?? texts[`${key}.other`] ?? texts[key] ?? english[form] ?? english[`${key}.other`] ?? english[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return value === undefined || value === null ? whole : typeof value === "number" ? value.toLocaleString(language) : isolated(String(value));
  });
}
