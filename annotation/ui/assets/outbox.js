// Marks on their way to the server. They are kept in this browser until the database has them, so that a lost
// connection, a reload or a crash loses none; one delivery is under way at a time, so that they arrive in order.

const clientId = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("");
const OUTBOX = "era-outbox-";
const SLOW_MS = 1500; // after which the page says that it is still saving
const PATIENCE_MS = 9000; // after which a delivery is tried again; longer than the database waits for its turn
const RETRY_MS = 2500;

const outbox = {
  waiting: [], // in the order made: { client_id, sequence, person, collection_id, label_set_id, query_id, doc_id, ... }
  underWay: null, // { batch, entries, sentAt }
  problem: "", // why the last delivery failed, while it is being tried again
  retryAt: 0,
  sequence: 0,

  add(mark) {
    this.sequence += 1;
    const entry = { ...mark, client_id: clientId, sequence: this.sequence };
    this.waiting.push(entry);
    this.keep(clientId);
    this.deliver();
    return entry;
  },

  // What was last said of a document in a label set and is not saved yet.
  last(labelSetId, queryId, docId, isAdjudication) {
    for (let i = this.waiting.length - 1; i >= 0; i--) {
      const entry = this.waiting[i];
      if (entry.label_set_id === labelSetId && entry.query_id === queryId && entry.doc_id === docId
        && Boolean(entry.is_adjudication) === Boolean(isAdjudication)) return entry;
    }
    return null;
  },

  keep(client) {
    const entries = this.waiting.filter((entry) => entry.client_id === client);
    try {
      if (entries.length) localStorage.setItem(OUTBOX + client, JSON.stringify(entries));
      else localStorage.removeItem(OUTBOX + client);
    } catch { /* no storage in this browser: the marks live as long as the page */ }
  },

  // Take over what an earlier page on this computer could not deliver. Two pages doing so at once does no harm: a mark
  // that is delivered twice is stored once.
  adopt(person) {
    let others = 0;
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i);
      if (!key.startsWith(OUTBOX) || key === OUTBOX + clientId) continue;
      let entries = [];
      try { entries = JSON.parse(localStorage.getItem(key)); } catch { /* not ours */ }
      if (!Array.isArray(entries)) continue;
      const known = new Set(this.waiting.map((entry) => `${entry.client_id}:${entry.sequence}`));
      for (const entry of entries) {
        if (entry.person !== person) others += 1;
        else if (!known.has(`${entry.client_id}:${entry.sequence}`)) this.waiting.unshift(entry);
      }
    }
    this.waiting.sort((a, b) => (a.made_at || 0) - (b.made_at || 0) || a.sequence - b.sequence);
    if (this.waiting.length) this.deliver();
    return others;
  },

  deliver() {
    if (this.underWay || !this.waiting.length || Date.now() < this.retryAt || navigator.onLine === false) return;
    const first = this.waiting[0];
    const entries = this.waiting.filter((e) => e.label_set_id === first.label_set_id && e.person === first.person).slice(0, 200);
    const batch = `${clientId}-${Date.now()}-${Math.random()}`;
    this.underWay = { batch, entries, sentAt: Date.now() };
    trigger("judge", { batch, person: first.person, collection_id: first.collection_id, marks: entries });
  },

  // Take in what the server says; return the entries that were refused, with the reason.
  answered(saved) {
    if (!this.underWay || saved.batch !== this.underWay.batch) return [];
    const { entries } = this.underWay;
    this.underWay = null;
    if (saved.retry) {
      this.problem = saved.error;
      this.retryAt = Date.now() + RETRY_MS;
      return [];
    }
    this.problem = "";
    const name = (entry) => `${entry.client_id}:${entry.sequence}`;
    const done = new Set([...(saved.stored || []), ...Object.keys(saved.refused || {})]);
    const refused = entries.filter((entry) => saved.error || saved.refused?.[name(entry)])
      .map((entry) => ({ ...entry, reason: saved.error || saved.refused[name(entry)] }));
    const gone = new Set(saved.error ? entries.map(name) : done);
    this.waiting = this.waiting.filter((entry) => !gone.has(name(entry)));
    for (const client of new Set(entries.map((entry) => entry.client_id))) this.keep(client);
    this.deliver();
    return refused;
  },

  get isSlow() {
    return this.underWay !== null && Date.now() - this.underWay.sentAt > SLOW_MS;
  },
};

setInterval(() => {
  if (outbox.underWay && Date.now() - outbox.underWay.sentAt > PATIENCE_MS) outbox.underWay = null;
  if (outbox.waiting.length) {
    outbox.deliver();
    drawStatus();
  }
}, 500);
for (const name of ["online", "offline"]) window.addEventListener(name, () => {
  if (outbox.underWay) { outbox.underWay = null; outbox.retryAt = Date.now() + 1000; }
  if (view) drawStatus();
});
