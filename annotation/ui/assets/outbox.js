// Marks on their way to the server. They are kept in this browser until the database has them, so that a lost
// connection, a reload or a crash loses none; one delivery is under way at a time, so that they arrive in order.

const clientId = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("");
const OUTBOX = "era-outbox-";
const SLOW_MS = 1500; // after which the page says that it is still saving
const PATIENCE_MS = 9000; // after which a delivery is tried again; longer than the database waits for its turn
const RETRY_MS = 2500;

// Send a delivery and tell the page what is answered. Where nothing is, it is tried again once the patience is over.
async function post(delivery) {
  try {
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(delivery) };
    const answer = await fetch(new URL("era/marks", document.baseURI), { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.ok) say("saved", await answer.json());
  } catch {
    // the line is lost, or the app is not there
  }
}

const nameOf = (entry) => `${entry.client_id}:${entry.sequence}`; // of a delivery

const outbox = {
  waiting: [], // in the order made: { client_id, sequence, person, collection_id, label_set_id, query_id, doc_id, ... }
  underWay: null, // { batch, entries, sentAt }
  problem: "", // why the last delivery failed, while it is being tried again
  retryAt: 0,
  nFailures: 0,
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
    this.write(client, this.waiting.filter((entry) => entry.client_id === client));
  },

  // Another page that lives may have put more marks into its own box meanwhile: only what was delivered leaves it.
  forget(client, gone) {
    if (client === clientId) return this.keep(client);
    this.write(client, this.read(OUTBOX + client).filter((entry) => !gone.has(nameOf(entry))));
  },

  write(client, entries) {
    if (entries.length) storage.setItem(OUTBOX + client, JSON.stringify(entries));
    else storage.removeItem(OUTBOX + client);
  },

  read(key) {
    try {
      const entries = JSON.parse(storage.getItem(key) || "[]");
      return Array.isArray(entries) ? entries : [];
    } catch {
      return []; // not ours
    }
  },

  // Take over what an earlier page on this computer could not deliver. Two pages doing so at once does no harm: a mark
  // that is delivered twice is stored once.
  adopt(person) {
    let others = 0;
    const keys = Array.from({ length: storage.length }, (_, i) => storage.key(i));
    for (const key of keys.filter((each) => each.startsWith(OUTBOX) && each !== OUTBOX + clientId)) {
      const known = new Set(this.waiting.map(nameOf));
      for (const entry of this.read(key)) {
        if (entry.person !== person) others += 1;
        else if (!known.has(nameOf(entry))) this.waiting.unshift(entry);
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
    post({ batch, person: first.person, collection_id: first.collection_id, marks: entries });
  },

  // Take in what the server says; return the entries that were refused, with the reason.
  answered(saved) {
    if (!this.underWay || saved.batch !== this.underWay.batch) return [];
    const { entries } = this.underWay;
    this.underWay = null;
    if (saved.error) { // a delivery that failed as a whole stays, whatever it was
      this.nFailures += 1;
      this.problem = saved.error;
      this.retryAt = Date.now() + RETRY_MS * Math.min(this.nFailures, 6);
      return [];
    }
    this.problem = "";
    this.nFailures = 0;
    const gone = new Set([...saved.stored, ...Object.keys(saved.refused)]);
    this.waiting = this.waiting.filter((entry) => !gone.has(nameOf(entry)));
    for (const client of new Set(entries.map((entry) => entry.client_id))) this.forget(client, gone);
    this.deliver();
    return entries.filter((entry) => saved.refused[nameOf(entry)]).map((entry) => ({ ...entry, reason: saved.refused[nameOf(entry)] }));
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
  } else if (storage.getItem(OUTBOX + clientId)) {
    outbox.keep(clientId); // another page, at the same moment, put back what it had read before this one was done
  }
}, 500);
for (const name of ["online", "offline"]) window.addEventListener(name, () => {
  if (outbox.underWay) { outbox.underWay = null; outbox.retryAt = Date.now() + 1000; }
  if (view) drawStatus();
});
