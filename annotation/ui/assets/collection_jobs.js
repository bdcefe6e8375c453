// What goes on in the background: imports, changed documents, new indexes. Leaving the page stops none of it.

let jobs = [];
let jobsError = "";
let isJobsAsked = null; // when, so that an answer that got lost is asked for again
const JOBS_EVERY_MS = 1000;
const JOBS_PATIENCE_MS = 15000;
const isUnderWay = (job) => job.state === "queued" || job.state === "running";

// Take what the server says; a job that has come to its end changes what the rest of the page shows.
function takeJobs(fresh) {
  const ended = jobs.filter((job) => isUnderWay(job) && !fresh.some((each) => each.id === job.id && isUnderWay(each)));
  jobs = fresh;
  if (ended.length) askServer("collection.refresh", ids());
}

answered("import-jobs", (answer) => {
  isJobsAsked = null;
  jobsError = answer.error || "";
  if (answer.jobs) takeJobs(answer.jobs);
  drawJobs();
});

function lookAtJobs() {
  isJobsAsked = Date.now();
  ask("jobs", "import-jobs");
}

const actOnJob = (job, act) => { isJobsAsked = Date.now(); ask("act", "import-jobs", { job_id: job.id, act }); };

setInterval(() => {
  if (!view || root.offsetParent === null || !jobs.some(isUnderWay)) return;
  if (isJobsAsked === null || Date.now() - isJobsAsked > JOBS_PATIENCE_MS) lookAtJobs();
}, JOBS_EVERY_MS);

function jobRow(job) {
  const named = (label) => ({ "aria-label": `${label} ${job.name}`, "data-hold": `${label} job ${job.id}` });
  const isSettled = !isUnderWay(job);
  return h("li", { class: "era-job", "data-job": job.id },
    h("div", { class: "era-row" }, h("strong", { class: "era-grow" }, job.title), h("span", { class: `era-state era-state-${job.state}` }, job.state_words)),
    isUnderWay(job) && h("progress", { max: 1, value: job.fraction, "aria-label": `${job.title}: how far` }),
    h("p", { role: "status", class: isSettled ? "era-quiet" : null }, job.text),
    notice(job.error),
    job.remarks.length ? fold(`job ${job.id}`, `${many(job.remarks.length, "remark")} on what was read`, h("ul", { class: "era-remarks" }, job.remarks.map((remark) => h("li", {}, remark)))) : null,
    h("div", { class: "era-row" },
      isUnderWay(job) && job.may_change && button("Cancel", () => actOnJob(job, "cancel"), named("Cancel")),
      job.can_resume && job.may_change && button("Go on", () => actOnJob(job, "resume"), named("Go on with")),
      job.state === "finished" && job.collection_id !== null && job.collection_id !== view.page.collection_id && view.collections.some((each) => each.id === job.collection_id)
        && button("Open", () => askServer("collection.open", { collection_id: job.collection_id }), { ...named("Open the imported"), class: "era-button era-primary" }),
      isSettled && job.may_change && link(job.state === "finished" ? "put away" : "remove", () => actOnJob(job, "dismiss"), named(job.state === "finished" ? "Put away" : "Remove"))));
}

function drawJobs() {
  if (!jobs.length && !jobsError) return fill(jobsBox);
  refill(jobsBox, h("h2", {}, jobs.some(isUnderWay) ? "Under way" : "Imports"), notice(jobsError), h("ul", {}, jobs.map(jobRow)),
    jobs.some(isUnderWay) && quiet("You can leave this page; the work goes on, and judging can, too."));
}
