"use strict";
(() => {
// The live page. Everything it knows comes over one stream: topics (the newest state of something) and what happened, in
// order. Everything it does is one step of the scenario language, or an order to the clock.
const $ = id => document.getElementById(id);
const LANES = ["user", "operator", "api", "kubelet", "flink", "fault", "check"];
const [SEQ, MS, LANE, KIND, OBJECT, TEXT, CAUSE, REVISION] = [0, 1, 2, 3, 4, 5, 6, 7];
const ROW = 23, LANE0 = 98, LANESTEP = 15, EVENTS_MAX = 20000;
const token = document.querySelector("meta[name=token]").content;
function el(tag, cls, text) { const n = document.createElement(tag); if (cls) n.className = cls; if (text != null) n.textContent = text; return n; }
function button(text, title, act) { const b = el("button", "", text); b.type = "button"; if (title) b.title = title; b.onclick = act; return b; }
const two = n => String(n).padStart(2, "0");
function clock(ms, digits = 3) {
  const s = Math.floor(ms / 1000), base = `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return digits ? `${base}.${String(Math.floor(ms % 1000)).padStart(3, "0").slice(0, digits)}` : base;
}
// Generated names are long, and their ends tell them apart.
const brief = text => text.length <= 46 ? text : `${text.slice(0, 26)}…${text.slice(-18)}`;
function ago(ms) { const s = Math.max(0, Math.round(ms / 1000)); return s < 60 ? `${s} s ago` : s < 3600 ? `${Math.floor(s / 60)} min ago` : `${Math.floor(s / 3600)} h ago`; }

// --- asking and doing
let noticeTimer;
function notice(text, isBad) {
  const n = $("notice"); n.textContent = text; n.className = isBad ? "bad" : ""; n.setAttribute("role", isBad ? "alert" : "status"); n.hidden = false;
  clearTimeout(noticeTimer); noticeTimer = setTimeout(() => { n.hidden = true; }, isBad ? 12000 : 4000);
}
async function answered(response) {
  if (response.ok) return response;
  let text = `${response.status}`;
  try { text = (await response.json()).error.message; } catch { /* no JSON: the number has to do */ }
  throw new Error(text);
}
const ask = async path => (await answered(await fetch(path))).json();
async function send(path, body) {
  const headers = { "X-Drey-Token": token, "Content-Type": "application/json" };
  return (await answered(await fetch(path, { method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body) }))).json();
}
async function act(step) {
  const text = typeof step === "string" ? step : JSON.stringify(step);
  try { const answer = await send("/v1/steps", text); notice(answer.underway ? `${text}: ${answer.underway}` : `done: ${answer.done}`); }
  catch (error) { notice(error.message, true); }
}
async function time(order) { try { await send("/v1/clock", order); } catch (error) { notice(error.message, true); } }

// --- the stream
let world = {}, now = { ms: 0, state: "runs", speed: 1 }, objects = [], jobs = [], faults = [], deeds = { count: 0, rows: [] };
let events = [], bySeq = new Map(), effects = new Map(), dirty = new Set();
const stream = new EventSource("/v1/stream");
const topic = (name, take) => stream.addEventListener(name, e => { take(JSON.parse(e.data)); dirty.add(name); soon(); });
topic("world", v => { world = v; });
topic("clock", v => { now = v; });
topic("objects", v => { objects = v; });
topic("flink", v => { jobs = v; remember(); });
topic("faults", v => { faults = v; });
topic("deeds", v => { deeds = v; });
topic("notice", v => { if (events.length) notice(v.text, v.bad); });
topic("reset", () => { events = []; bySeq = new Map(); effects = new Map(); shown = []; picked = null; notice("some of what happened was missed; the timeline begins where memory does"); });
topic("happened", rows => {
  for (const e of rows) {
    events.push(e); bySeq.set(e[SEQ], e);
    if (e[CAUSE] != null) { if (!effects.has(e[CAUSE])) effects.set(e[CAUSE], []); effects.get(e[CAUSE]).push(e); }
    if (fits(e)) shown.push(e);
  }
  if (events.length > EVENTS_MAX) {
    for (const gone of events.splice(0, events.length - EVENTS_MAX + 2000)) { bySeq.delete(gone[SEQ]); effects.delete(gone[SEQ]); }
    refilter();
  }
});
let isConnected = false;
stream.onopen = () => { isConnected = true; dirty.add("clock"); soon(); };
stream.onerror = () => { isConnected = false; dirty.add("clock"); soon(); };
let isDue = false;
function soon() { if (!isDue) { isDue = true; (document.hidden ? setTimeout : requestAnimationFrame)(draw); } }
function draw() {
  isDue = false;
  const changed = dirty; dirty = new Set();
  if (changed.has("world")) drawWorld();
  if (changed.has("clock") || changed.has("world")) drawClock();
  if (changed.has("flink") || changed.has("world")) drawJobs(); else if (changed.has("clock")) drawAges();
  if (changed.has("objects")) drawObjects();
  if (changed.has("faults")) drawFaults();
  if (changed.has("deeds")) drawDeeds();
  if (changed.has("happened") || changed.has("reset") || changed.has("list")) drawStory();
}

// --- the clock
function drawClock() {
  $("clock").textContent = clock(now.ms, 1);
  const pace = $("pace"), stands = now.state !== "runs";
  pace.className = !isConnected ? "lost" : stands ? "stands" : "";
  pace.textContent = !isConnected ? "not connected" : now.state === "steps" ? "to the next event" : stands ? "stands still" : now.speed === 1 ? "real time" : `${now.speed}×`;
  $("pause").textContent = stands ? "Go on" : "Pause";
  $("pause").setAttribute("aria-pressed", String(stands));
  for (const b of document.querySelectorAll("[data-speed]")) b.setAttribute("aria-pressed", String(!stands && Number(b.dataset.speed) === now.speed));
  const why = world.can && world.can.clock;
  for (const b of document.querySelectorAll(".controls button")) { b.disabled = typeof why === "string"; if (b.disabled) b.title = why; }
}
$("pause").onclick = () => time(now.state === "runs" ? { do: "pause" } : { do: "run", speed: now.speed || 1 });
$("step").onclick = () => time({ do: "step" });
for (const b of document.querySelectorAll("[data-by]")) b.onclick = () => time({ do: "step", by: b.dataset.by });
for (const b of document.querySelectorAll("[data-speed]")) b.onclick = () => time({ do: "run", speed: Number(b.dataset.speed) });

function drawWorld() {
  $("world").textContent = world.name; $("world").title = world.name;
  document.title = `${world.name} - Drey playground`;
  $("facts").textContent = (world.facts || []).join("\n");
  const word = $("word"); word.replaceChildren();
  for (const [kind, label] of [["fault", "faults"], ["action", "actions on objects"], ["time", "time"]]) {
    const group = el("optgroup"); group.label = label;
    for (const w of (world.words || []).filter(w => w.kind === kind)) { const o = el("option", "", w.name); o.value = w.name; group.append(o); }
    if (group.children.length) word.append(group);
  }
  const unsaved = world.can && world.can.save;
  if (typeof unsaved === "string") { $("save").disabled = true; $("save").title = unsaved; }
  $("form").hidden = !(world.words || []).length;
  drawPresets(); drawForm();
}

// --- Flink: one card per deployment
const past = new Map(), snapshots = new Map();
function remember() {
  for (const job of jobs) {
    const strip = past.get(job.key) || [];
    const last = strip[strip.length - 1];
    if (!last || last.tone !== job.tone) strip.push({ ms: now.ms, tone: job.tone, text: job.state });
    if (strip.length > 400) strip.splice(0, 100);
    past.set(job.key, strip);
    for (const which of ["checkpoint", "savepoint"]) {
      const at = job[which] && `${job.id}/${job[which].id}`, key = `${job.key}/${which}`, seen = snapshots.get(key);
      if (at && (!seen || seen.at !== at)) snapshots.set(key, { at, ms: seen === undefined && !job.fresh ? null : now.ms });
      else if (!at && !seen) snapshots.set(key, null);
    }
  }
}
// Cards stay and are filled anew: a button must not go away between press and release.
const cards = new Map();
function drawJobs() {
  const place = $("jobs");
  for (const [key, card] of cards) if (!jobs.some(j => j.key === key)) { card.root.remove(); cards.delete(key); }
  place.querySelector(".empty")?.remove();
  if (!jobs.length) place.append(el("p", "empty", "No FlinkDeployment yet. kubectl apply one, or write an apply step below Break."));
  jobs.forEach((job, i) => {
    if (!cards.has(job.key)) cards.set(job.key, makeCard(job.key));
    const card = cards.get(job.key);
    if (place.children[i] !== card.root) place.insertBefore(card.root, place.children[i] ?? null);
    fillCard(card, job);
  });
}
const jobOf = key => jobs.find(j => j.key === key);
function makeCard(key) {
  const root = el("article"), top = el("div", "top"), title = el("h2"), name = button("", "its object", () => pickObject(jobOf(key).object));
  const state = el("span", "state"), what = el("span", "what"), facts = el("dl"), why = el("p", "why"), strip = el("canvas", "strip"), row = el("div", "deeds");
  name.className = "link"; title.append(name); top.append(title, state, what); strip.setAttribute("role", "img"); row.setAttribute("role", "group");
  root.dataset.job = key; root.append(top, facts, why, strip, row);
  const dashboard = button("dashboard ↗", "Flink's REST API and dashboard of this deployment", () => open(jobOf(key).url, "_blank", "noopener"));
  const deeds = (world.deeds || []).map(deed => {
    const b = button(deed.label, deed.hint, () => { const job = jobOf(key), { step } = deed.off && job[deed.off.when] ? deed.off : deed; act(filled(step, job)); });
    bar(b); row.append(b); return [deed, b];
  });
  row.append(dashboard);
  return { root, name, state, what, facts, why, strip, row, deeds, dashboard, had: "", words: world.deeds };
}
function fillCard(card, job) {
  // The world is told after its jobs, at first.
  if (card.words !== world.deeds) { card.root.remove(); card = makeCard(job.key); cards.set(job.key, card); $("jobs").append(card.root); }
  card.root.className = `job ${job.tone}`; card.root.dataset.state = job.state; card.root.setAttribute("aria-label", `${job.name}: ${job.state}`);
  card.name.textContent = job.name; card.state.textContent = job.state; card.what.textContent = card.what.title = job.what;
  const facts = [["job", job.job], ["restarts", job.restarts], ["checkpoint", snapshot(job, "checkpoint"), "checkpoint"], ["savepoint", snapshot(job, "savepoint"), "savepoint"], ["from", job.from], ["TMs", job.taskManagers]].filter(([, text]) => text != null && text !== "");
  const shape = facts.map(([name]) => name).join();
  if (shape !== card.had) {
    card.had = shape;
    card.facts.replaceChildren(...facts.map(([name, , cls]) => { const fact = el("div"); fact.append(el("dt", "", name), el("dd", cls)); return fact; }));
  }
  facts.forEach(([, text], i) => { card.facts.children[i].lastChild.textContent = String(text); });
  card.why.hidden = !job.why; card.why.textContent = card.why.title = job.why || "";
  card.strip.setAttribute("aria-label", `how ${job.name} did over time`); card.row.setAttribute("aria-label", `break ${job.name}`);
  for (const [deed, b] of card.deeds) { const label = deed.off && job[deed.off.when] ? deed.off.label : deed.label; if (b.textContent !== label) b.textContent = label; }
  card.dashboard.hidden = !job.url;
  drawStrip(card.strip, job);
}
function bar(b) { const why = world.can && world.can.faults; if (typeof why === "string") { b.disabled = true; b.title = why; } }
function filled(step, job) { return JSON.parse(JSON.stringify(step).replaceAll("$name", job.ref).replaceAll("$app", job.name).replaceAll("$object", job.reference).replaceAll('"$nonce"', String(job.nonce + 1))); }
function snapshot(job, which) {
  if (!job[which]) return which === "checkpoint" && job.checkpoints != null ? job.checkpoints ? "none yet" : "off" : null;
  const seen = snapshots.get(`${job.key}/${which}`);
  const age = seen && seen.ms != null ? `, ${ago(now.ms - seen.ms)}` : "";
  return `#${job[which].id}${age}${which === "checkpoint" && job.stalled ? ", stalled" : ""}`;
}
function drawAges() {
  for (const card of document.querySelectorAll(".job")) {
    const job = jobs.find(j => j.key === card.dataset.job);
    if (!job) continue;
    for (const which of ["checkpoint", "savepoint"]) { const dd = card.querySelector(`dd.${which}`); if (dd) dd.textContent = snapshot(job, which); }
    drawStrip(card.querySelector(".strip"), job);
  }
}
function sized(canvas) {
  const ratio = devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); }
  const g = canvas.getContext("2d"); g.setTransform(ratio, 0, 0, ratio, 0, 0); g.clearRect(0, 0, w, h); return [g, w, h];
}
let palette = {};
function colour(name) { return palette[name] || (palette[name] = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()); }
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { palette = {}; ["flink", "list", "clock"].forEach(d => dirty.add(d)); soon(); });
function drawStrip(canvas, job) {
  const [g, w, h] = sized(canvas), strip = past.get(job.key) || [], end = Math.max(now.ms, 1), start = strip.length ? Math.min(strip[0].ms, end - 1) : 0;
  strip.forEach((part, i) => {
    const to = i + 1 < strip.length ? strip[i + 1].ms : end, x = w * (part.ms - start) / (end - start);
    g.fillStyle = colour(part.tone); g.globalAlpha = .8; g.fillRect(x, 0, Math.max(1.5, w * (to - start) / (end - start) - x), h);
  });
  canvas.title = strip.slice(-6).map(p => `${clock(p.ms, 0)} ${p.text}`).join("\n");
}

// --- the story: overview and list
const hidden = new Set();
let shown = [], picked = null, follows = true;
const list = $("list"), query = $("q");
const space = el("div"), rows = el("div"); space.style.position = "relative"; space.append(rows); list.append(space);
function isBad(e) { return e[KIND] === "check-failed"; }
function fits(e) {
  if (hidden.has(e[LANE])) return false;
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const text = `${e[TEXT]} ${e[OBJECT] || ""} ${e[KIND]} ${LANES[e[LANE]]} #${e[SEQ]}`.toLowerCase();
  return words.every(w => text.includes(w));
}
function refilter() {
  shown = events.filter(fits);
  const at = picked ? shown.indexOf(picked) : -1;
  if (at >= 0) { space.style.height = `${shown.length * ROW + 4}px`; list.scrollTop = at * ROW - list.clientHeight / 2; }
  dirty.add("list"); soon();
}
LANES.forEach((lane, i) => {
  const chip = el("button", "chip"); chip.type = "button"; chip.setAttribute("aria-pressed", "true");
  const dot = el("i", "dot"); dot.style.background = `var(--${lane})`; chip.append(dot, lane);
  chip.onclick = () => { hidden.has(i) ? hidden.delete(i) : hidden.add(i); chip.setAttribute("aria-pressed", String(!hidden.has(i))); refilter(); };
  $("lanes").append(chip);
  const line = el("div", "lane"); line.style.left = `${LANE0 + i * LANESTEP + 3.5}px`; space.append(line);
});
query.oninput = refilter;
function setFollows(on) { follows = on; $("follow").setAttribute("aria-pressed", String(on)); if (on) { dirty.add("list"); soon(); } }
$("follow").onclick = () => setFollows(!follows);
function drawStory() {
  space.style.height = `${shown.length * ROW + 4}px`;
  $("shown").textContent = shown.length === events.length ? `${events.length} events` : `${shown.length} of ${events.length}`;
  if (follows) list.scrollTop = list.scrollHeight;
  drawRows(); drawOverview();
}
function drawRows() {
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 8), last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW) + 16);
  rows.replaceChildren();
  for (let p = first; p < last; p++) {
    const e = shown[p], row = el("div", "row");
    row.id = `row-${e[SEQ]}`; row.setAttribute("role", "option"); row.style.top = `${p * ROW + 2}px`;
    row.setAttribute("aria-label", `${clock(e[MS])} ${LANES[e[LANE]]}: ${e[OBJECT] || ""} ${e[TEXT]}`);
    row.setAttribute("aria-selected", String(e === picked)); row.setAttribute("aria-setsize", String(shown.length)); row.setAttribute("aria-posinset", String(p + 1));
    if (e === picked) { row.classList.add("pick"); list.setAttribute("aria-activedescendant", row.id); }
    if (isBad(e)) row.classList.add("bad");
    if (e[KIND] === "step" || e[KIND] === "fault-started") row.classList.add("step");
    const same = p > 0 && shown[p - 1][MS] === e[MS], dot = el("i", "dot"), what = el("span", "x");
    dot.style.left = `${LANE0 + e[LANE] * LANESTEP}px`; dot.style.background = `var(--${LANES[e[LANE]]})`;
    if (e[OBJECT]) what.append(el("span", "o", brief(e[OBJECT])));
    what.append(e[TEXT]);
    row.title = `#${e[SEQ]} ${LANES[e[LANE]]} ${e[KIND]} ${e[OBJECT] || ""}\n${e[TEXT]}`;
    row.append(el("span", same ? "t same" : "t", clock(e[MS])), dot, what);
    // At press: by the release the row may be another's.
    row.onpointerdown = () => pick(e);
    rows.append(row);
  }
}
let byHand = false;
list.addEventListener("wheel", () => { byHand = true; }, { passive: true }); list.addEventListener("pointerdown", () => { byHand = true; });
list.addEventListener("scroll", () => {
  if (byHand) { const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 2 * ROW; if (atEnd !== follows) setFollows(atEnd); byHand = false; }
  requestAnimationFrame(drawRows);
}, { passive: true });
addEventListener("resize", () => { ["list", "flink"].forEach(d => dirty.add(d)); soon(); });
// All lanes over time. Quiet stretches are folded: an hour of waiting must not hide a second of trouble.
let marks = [];
function drawOverview() {
  const [g, w, h] = sized($("overview")), left = 66, right = 12, step = (h - 20) / LANES.length, used = events.slice(-4000);
  g.font = "11px system-ui, sans-serif"; g.textBaseline = "middle";
  LANES.forEach((lane, i) => {
    const y = 8 + i * step; g.fillStyle = colour("soft"); g.textAlign = "left"; g.fillText(lane, 8, y);
    g.strokeStyle = colour("line"); g.beginPath(); g.moveTo(left, y); g.lineTo(w - right, y); g.stroke();
  });
  const times = []; for (const e of used) if (!times.length || times[times.length - 1] !== e[MS]) times.push(e[MS]);
  if (now.ms > (times[times.length - 1] ?? 0)) times.push(now.ms);
  // As many of the latest as can be told apart.
  const kept = times.slice(-Math.max(60, Math.floor((w - left) / 2.2))), xs = new Map();
  let x = 0; kept.forEach((t, i) => { if (i) x += 1 + Math.log2(1 + (t - kept[i - 1]) / 250); xs.set(t, x); });
  const scale = (w - left - right - 8) / Math.max(x, 1);
  for (const t of kept) xs.set(t, left + 4 + xs.get(t) * scale);
  marks = [];
  const drawn = new Set();
  for (const e of used) {
    const at = xs.get(e[MS]); if (at === undefined) continue;
    marks.push([at, e]);
    const key = `${e[LANE]}:${Math.round(at)}`; if (drawn.has(key) && !isBad(e) && e !== picked) continue; drawn.add(key);
    const y = 8 + e[LANE] * step; g.fillStyle = colour(isBad(e) ? "bad" : LANES[e[LANE]]);
    if (e[KIND] === "fault-started") { g.globalAlpha = .16; g.fillRect(at - 1, 2, 2.5, h - 18); g.globalAlpha = 1; }
    if (e[KIND] === "step" || e[KIND] === "fault-started" || isBad(e)) g.fillRect(at - 3.5, y - 3.5, 7, 7); else { g.beginPath(); g.arc(at, y, 2.5, 0, 7); g.fill(); }
  }
  let last = -99, label = ""; g.fillStyle = colour("soft"); g.textAlign = "center";
  for (const t of kept) { const at = xs.get(t); if (at - last > 74 && at < w - 34 && at > left + 20 && clock(t, 0) !== label) { label = clock(t, 0); g.fillText(label, at, h - 7); last = at; } }
  if (picked && xs.has(picked[MS])) { const at = xs.get(picked[MS]); g.strokeStyle = colour("link"); g.beginPath(); g.moveTo(at, 2); g.lineTo(at, h - 15); g.stroke(); }
}
$("overview").onclick = c => {
  const x = c.clientX - $("overview").getBoundingClientRect().left;
  let best = null; for (const [at, e] of marks) if (!best || Math.abs(at - x) < Math.abs(best[0] - x)) best = [at, e];
  if (best) { pick(best[1]); list.focus(); }
};
function pick(e) {
  if (!e) return;
  if (!fits(e)) { query.value = ""; hidden.clear(); document.querySelectorAll("#lanes .chip").forEach(c => c.setAttribute("aria-pressed", "true")); shown = events.slice(); }
  picked = e; setFollows(false);
  const y = shown.indexOf(e) * ROW;
  if (y < list.scrollTop + ROW || y > list.scrollTop + list.clientHeight - 2 * ROW) list.scrollTop = y - list.clientHeight / 2;
  drawStory(); showEvent(e);
}
list.addEventListener("keydown", k => {
  const p = picked ? shown.indexOf(picked) : shown.length, page = Math.max(1, Math.floor(list.clientHeight / ROW) - 2);
  const to = { ArrowDown: p + 1, ArrowUp: p - 1, PageDown: p + page, PageUp: p - page, Home: 0 }[k.key];
  if (k.key === "End") { picked = null; setFollows(true); } else if (to !== undefined) pick(shown[Math.min(shown.length - 1, Math.max(0, to))]); else return;
  k.preventDefault();
});

// --- detail
const detail = $("detail");
let detailOf = 0;
function link(e) { return Object.assign(button(`${clock(e[MS])} ${e[OBJECT] || ""} ${e[TEXT]}`, `#${e[SEQ]}`, () => pick(e)), { className: "link" }); }
async function showEvent(e) {
  const mine = ++detailOf, links = el("div", "links");
  detail.replaceChildren(el("h3", "", `${e[OBJECT] || ""} ${e[TEXT]}`.trim()), el("p", "soft", `#${e[SEQ]} · ${clock(e[MS])} · ${LANES[e[LANE]]} · ${e[KIND]}`), links);
  const causes = []; for (let c = bySeq.get(e[CAUSE]); c && causes.length < 5; c = bySeq.get(c[CAUSE])) causes.push(c);
  if (causes.length) { links.append(el("span", "soft", "because of")); causes.forEach(c => links.append(link(c))); }
  const after = effects.get(e[SEQ]) || [];
  if (after.length) { links.append(el("span", "soft", `led to (${after.length})`)); after.slice(0, 8).forEach(c => links.append(link(c))); }
  detail.scrollTop = 0;
  if (e[REVISION] == null) return;
  try { const change = await ask(`/v1/change?revision=${e[REVISION]}`); if (mine === detailOf) showChange(change, links); }
  catch (error) { if (mine === detailOf) detail.append(el("p", "soft", error.message)); }
}
let asYaml = false, pickedObject = null, pickedRevision = null;
async function pickObject(key, revision) {
  pickedObject = key; pickedRevision = revision ?? null; picked = null; dirty.add("objects"); dirty.add("list"); soon();
  const mine = ++detailOf;
  try {
    const change = await ask(`/v1/object?key=${encodeURIComponent(key)}${revision == null ? "" : `&revision=${revision}`}`);
    if (mine !== detailOf) return;
    const [namespace, name] = key.split(":");
    const head = el("div"); head.append(el("h3", "", name), el("p", "soft", namespace ? `namespace ${namespace}` : "of the whole cluster"));
    if (name.startsWith("Pod/")) head.lastChild.append(" · ", Object.assign(button("its log", "", () => { tab("logs"); $("whose").value = `${namespace}/${name.slice(4)}`; readLog(); }), { className: "link" }));
    detail.replaceChildren(head); showChange(change, head);
  } catch (error) { if (mine === detailOf) detail.replaceChildren(el("p", "soft", error.message)); }
}
function showChange(change, after) {
  for (const old of detail.querySelectorAll(".versions, .diff")) old.remove();
  const bar = el("div", "versions"), versions = el("select"); versions.setAttribute("aria-label", "revision");
  for (const v of change.versions) { const o = el("option", "", `${clock(v.ms, 1)} ${v.verb} by ${v.actor.replace(/^system:serviceaccount:/, "")} (${v.revision})`); o.value = v.revision; o.selected = v.revision === change.revision; versions.append(o); }
  versions.onchange = () => pickObject(change.key, Number(versions.value));
  const at = change.versions.findIndex(v => v.revision === change.revision);
  const older = button("‹", "the change before", () => pickObject(change.key, change.versions[at + 1].revision)), newer = button("›", "the change after", () => pickObject(change.key, change.versions[at - 1].revision));
  older.setAttribute("aria-label", "the change before"); newer.setAttribute("aria-label", "the change after");
  older.disabled = at + 1 >= change.versions.length; newer.disabled = at <= 0;
  const yaml = button("YAML", "lines of YAML instead of fields", () => { asYaml = !asYaml; showChange(change, after); }); yaml.setAttribute("aria-pressed", String(asYaml));
  bar.append(older, versions, newer, yaml);
  const box = el("div", "diff"); box.dataset.revision = change.revision;
  if (asYaml || !change.changes.length) {
    for (const [sign, text] of change.lines) box.append(el("div", { "+": "a", "-": "d", "@": "g" }[sign] || "e", sign === "@" ? "⋯" : `${sign} ${text}`));
    if (!change.lines.length) box.append(el("p", "soft", "nothing a person would read changed"));
  } else for (const [path, old, value] of change.changes) {
    box.append(el("div", "p", path)); const pair = el("div", "pair");
    if (old !== null) pair.append(el("div", "d", old)); if (value !== null) pair.append(el("div", "a", value)); else pair.append(el("div", "g", "removed"));
    box.append(pair);
  }
  after.after(bar, box);
}

function welcome() {
  const steps = el("ol", "welcome");
  for (const text of ["Above: the Flink deployments and what can be done to them. Press fail job, and watch.", "Left: everything that happens, by lane: you, the operator, the API server, the kubelet, Flink, faults, checks. Pick a line to see why it happened and what it changed.", "Here: objects with each of their changes, more to break, logs. kubectl works meanwhile; the ? has its address.", "What you do is recorded; Save as scenario makes a test of it."]) steps.append(el("li", "", text));
  detail.replaceChildren(el("h3", "", "A cluster with the real operator, simulated around it"), steps);
}
welcome();

// --- objects
const MAIN = new Set(["FlinkDeployment", "FlinkSessionJob", "FlinkStateSnapshot", "Deployment", "Pod", "Service", "ConfigMap", "Ingress", "Job", "StatefulSet"]);
const ORDER = ["FlinkDeployment", "FlinkSessionJob", "FlinkStateSnapshot", "Deployment", "Pod", "ConfigMap", "Service"];
const rank = o => { const i = ORDER.indexOf(o.kind); return i < 0 ? ORDER.length : i; };
function drawObjects() {
  const words = $("oq").value.toLowerCase().split(/\s+/).filter(Boolean), everything = $("all").checked;
  const some = objects.filter(o => (everything || MAIN.has(o.kind) && o.name !== "kube-root-ca.crt") && words.every(w => `${o.kind}/${o.name} ${o.namespace} ${o.summary}`.toLowerCase().includes(w)));
  some.sort((a, b) => rank(a) - rank(b) || a.kind.localeCompare(b.kind) || a.name.localeCompare(b.name));
  $("n-objects").textContent = some.filter(o => !o.gone).length || "";
  const held = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.key : null;
  const body = $("rows"); body.replaceChildren();
  for (const o of some.slice(0, 500)) {
    const tr = el("tr", o.gone ? "gone" : now.ms - o.ms < 3000 ? "fresh" : ""), name = el("td"), state = el("td", o.gone ? "" : `tone-${o.tone}`, o.gone ? "gone" : o.summary);
    if (o.key === pickedObject) tr.classList.add("pick");
    const b = button(o.name, `${o.kind}/${o.name}`, () => pickObject(o.key)); b.className = "link"; b.dataset.key = o.key; name.append(b);
    state.title = o.summary; tr.append(el("td", "", o.kind), name, state, el("td", "n", o.versions)); tr.onpointerdown = () => pickObject(o.key);
    body.append(tr); if (held === o.key) b.focus();
  }
  // The one that is looked at is looked at as it is now.
  const looked = objects.find(o => o.key === pickedObject), seen = detail.querySelector(".diff");
  if (looked && pickedRevision == null && !picked && seen && Number(seen.dataset.revision) !== looked.revision) pickObject(looked.key);
  drawWhose();
}
$("oq").oninput = $("all").onchange = () => { dirty.add("objects"); soon(); };

// --- break
function drawPresets() {
  const place = $("presets"); place.replaceChildren();
  if (world.presets && !world.presets.length) place.append(el("p", "soft", "Faults of this page are those of the simulated world. Of a real cluster, pods are deleted and deployments patched: above, or with kubectl."));
  for (const group of world.presets || []) {
    place.append(el("h2", "", group.title)); const row = el("div", "deeds"); row.setAttribute("role", "group"); row.setAttribute("aria-label", group.title);
    for (const deed of group.deeds) { const b = button(deed.label, deed.hint, () => act(deed.step)); bar(b); row.append(b); }
    place.append(row);
  }
}
let faultsHad = null;
function drawFaults() {
  const place = $("active"); $("n-faults").textContent = faults.length ? `${faults.length} active` : "";
  const had = faults.map(f => f.text).join("\n");
  if (had !== faultsHad) {
    faultsHad = had;
    place.replaceChildren(...(faults.length ? [el("h2", "", "active now")] : []));
    for (const fault of faults) {
      const row = el("div", "fault"); row.append(el("code", "", fault.text), el("span", "soft"));
      if (fault.lift) row.append(button("lift", `end ${fault.text}`, () => act(fault.lift)));
      place.append(row);
    }
  }
  faults.forEach((fault, i) => { place.children[i + 1].children[1].textContent = fault.hits; });
}
function wordOf() { return (world.words || []).find(w => w.name === $("word").value); }
function drawForm() {
  const word = wordOf(); if (!word) return;
  $("doc").textContent = word.doc;
  const place = $("fields"); place.replaceChildren();
  const read = fields(word.args, place, () => { $("text").value = `${word.name}: ${JSON.stringify(read() ?? {})}`; });
  $("text").value = word.example;
}
$("word").onchange = drawForm;
// Fields for a type; the answer reads them. Blank ones are left out.
function fields(type, place, changed) {
  const labelled = (name, input) => { const l = el("label"); l.append(el("span", "", name), input); input.setAttribute("aria-label", name); input.oninput = changed; return l; };
  const chosen = (words, first) => { const s = el("select"); const o = el("option", "", first); o.value = ""; s.append(o); for (const w of words) s.append(el("option", "", w)); return s; };
  switch (type.t) {
    case "shape": {
      const reads = type.keys.map(key => {
        if (key.type.t === "shape") { const box = el("fieldset"), legend = el("legend", "", key.name + (key.required ? " *" : "")); legend.title = key.doc; box.append(legend); place.append(box); return [key.name, fields(key.type, box, changed)]; }
        const holder = el("div"); holder.title = key.doc; const read = fields({ ...key.type, name: key.name + (key.required ? " *" : "") }, holder, changed); place.append(holder); return [key.name, read];
      });
      return () => { const out = {}; for (const [name, read] of reads) { const v = read(); if (v !== undefined) out[name] = v; } return Object.keys(out).length ? out : undefined; };
    }
    case "enum": { const s = chosen(type.words, "-"); place.append(labelled(type.name || "value", s)); return () => s.value || undefined; }
    case "bool": { const s = chosen(["true", "false"], "-"); place.append(labelled(type.name || "value", s)); return () => s.value ? s.value === "true" : undefined; }
    case "deployment": { const s = chosen(jobs.map(j => j.ref), "-"); if (jobs[0]) s.value = jobs[0].ref; place.append(labelled(type.name, s)); return () => s.value || undefined; }
    case "number": { const i = el("input"); i.type = "number"; i.step = "any"; place.append(labelled(type.name || "value", i)); return () => i.value === "" ? undefined : Number(i.value); }
    case "oneof": { const box = el("div"); place.append(box); const reads = type.of.map((t, n) => fields({ ...t, name: n ? "or" : type.name }, box, changed)); return () => reads.map(r => r()).find(v => v !== undefined); }
    case "any": { const i = el("input"); i.placeholder = "YAML or JSON, as {a: 1}"; place.append(labelled(type.name || "value", i)); return () => { if (!i.value) return undefined; try { return JSON.parse(i.value); } catch { return i.value; } }; }
    default: { const i = el("input"); i.placeholder = type.t === "duration" ? "30s" : ""; place.append(labelled(type.name || "value", i)); return () => i.value || undefined; }
  }
}
$("form").onsubmit = e => { e.preventDefault(); act($("text").value); };

// --- logs
function drawWhose() {
  const select = $("whose"), pods = objects.filter(o => o.kind === "Pod" && !o.gone).map(o => `${o.namespace}/${o.name}`), wanted = ["operator", ...pods], had = [...select.options].map(o => o.value);
  if (wanted.join() === had.join()) return;
  const value = select.value; select.replaceChildren(...wanted.map(w => { const o = el("option", "", w === "operator" ? "the operator" : w); o.value = w; return o; }));
  if (wanted.includes(value)) select.value = value;
}
let logText = null;
async function readLog() {
  if ($("logs").hidden || document.hidden) return;
  const whose = $("whose").value || "operator", pre = $("log");
  try {
    const answer = await ask(whose === "operator" ? "/v1/log?lines=400" : `/v1/log?lines=400&pod=${encodeURIComponent(whose)}`);
    const text = answer.underway ? answer.underway : answer.text;
    if (text === logText) return;
    const atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 30 || logText === null;
    logText = text; pre.textContent = text || "nothing written yet"; if (atEnd) pre.scrollTop = pre.scrollHeight;
    $("tail").textContent = text ? `last ${text.split("\n").length} lines` : "";
  } catch (error) { logText = null; pre.textContent = error.message; }
}
$("whose").onchange = () => { logText = null; readLog(); };
setInterval(readLog, 1000);

// --- what was done
function drawDeeds() {
  $("n-deeds").textContent = deeds.count || "";
  $("deeds").replaceChildren(...deeds.rows.map(d => { const li = el("li", d.kept ? "" : "lost"); li.append(el("span", "soft", `${clock(d.ms, 1)} ${d.by}`), d.kept ? d.text : `not recorded: ${d.text}`); return li; }));
}
async function save() {
  try {
    const response = await answered(await fetch("/v1/scenario")), link = el("a");
    link.href = URL.createObjectURL(new Blob([await response.text()], { type: "application/yaml" })); link.download = `session-${clock(now.ms, 0).replaceAll(":", "")}.yaml`;
    link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    notice(`saved as ${link.download}; play it again with: drey run ${link.download} --seed ${world.seed}`);
  } catch (error) { notice(error.message, true); }
}
$("save").onclick = save;

// --- tabs, keys, help
const TABS = ["objects", "break", "logs", "session"];
function tab(name) {
  for (const t of TABS) { const on = t === name; $(t).hidden = !on; $(`tab-${t}`).setAttribute("aria-selected", String(on)); $(`tab-${t}`).tabIndex = on ? 0 : -1; }
  if (name === "logs") readLog();
}
TABS.forEach((t, i) => {
  $(`tab-${t}`).onclick = () => tab(t);
  $(`tab-${t}`).onkeydown = k => { const d = { ArrowRight: 1, ArrowLeft: -1 }[k.key]; if (d) { const to = TABS[(i + d + TABS.length) % TABS.length]; tab(to); $(`tab-${to}`).focus(); } };
});
const help = () => $("keys").showModal();
$("help").onclick = help;
addEventListener("keydown", k => {
  if (k.ctrlKey || k.metaKey || k.altKey || $("keys").open) return;
  const at = document.activeElement, typing = at && (/^(TEXTAREA|SELECT)$/.test(at.tagName) || at.tagName === "INPUT" && at.type !== "checkbox");
  if (typing) { if (k.key === "Escape") at.blur(); return; }
  const move = by => { const p = picked ? shown.indexOf(picked) : shown.length; pick(shown[Math.min(shown.length - 1, Math.max(0, p + by))]); };
  const deed = {
    " ": () => { if (at && /^(BUTTON|A)$/.test(at.tagName)) return false; $("pause").click(); }, ".": () => $("step").click(), ",": () => time({ do: "step", by: "1s" }),
    "1": () => time({ do: "run", speed: 1 }), "2": () => time({ do: "run", speed: 10 }), "3": () => time({ do: "run", speed: 100 }), "4": () => time({ do: "run", speed: 1000 }),
    "/": () => query.focus(), j: () => move(1), k: () => move(-1), c: () => { if (picked && picked[CAUSE] != null) pick(bySeq.get(picked[CAUSE])); },
    o: () => tab("objects"), b: () => tab("break"), l: () => tab("logs"), r: () => tab("session"), s: save, "?": help,
  }[k.key];
  if (deed && deed() !== false) k.preventDefault();
});
})();
