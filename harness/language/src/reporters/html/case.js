"use strict";
(() => {
// The timeline of one case. Rows have one height, and only those in sight exist: tens of thousands stay fluent.
const data = JSON.parse(document.getElementById("data").textContent);
const [SEQ, MS, LANE, KIND, OBJECT, TEXT, CAUSE, DETAIL] = [0, 1, 2, 3, 4, 5, 6, 7];
const ROW = 24, HEAD = 26, X0 = 122, XSTEP = 20;
// Fields that change with every write and tell nothing.
const NOISE = /^metadata\.(resourceVersion|managedFields|generation)/;
const events = data.events, bySeq = new Map(events.map((e, i) => [e[SEQ], i]));
const effects = new Map();
for (const e of events) if (e[CAUSE] != null) { if (!effects.has(e[CAUSE])) effects.set(e[CAUSE], []); effects.get(e[CAUSE]).push(e[SEQ]); }
const failed = new Set(data.failed);
const kind = e => data.kinds[e[KIND]], object = e => e[OBJECT] == null ? "" : data.objects[e[OBJECT]];
const isBad = e => failed.has(e[SEQ]) || kind(e) === "check-failed";
const colour = e => isBad(e) ? "var(--failed)" : `var(--${data.lanes[e[LANE]]})`;
const hidden = new Set();
let shown = [], place = new Map(), picked = -1;
const $ = id => document.getElementById(id);
const list = $("list"), detail = $("detail"), query = $("q");
function el(tag, cls, text) { const n = document.createElement(tag); if (cls) n.className = cls; if (text != null) n.textContent = text; return n; }
function svg(tag, attrs, text) { const n = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const k in attrs) n.setAttribute(k, attrs[k]); if (text != null) n.textContent = text; return n; }
function clock(ms) {
  const s = Math.floor(ms / 1000), two = n => String(n).padStart(2, "0");
  const base = `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return ms % 1000 ? `${base}.${String(ms % 1000).padStart(3, "0")}` : base;
}

// --- filters
function filter() {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = [];
  events.forEach((e, i) => {
    if (hidden.has(e[LANE])) return;
    if (words.length) { const text = `${e[TEXT]} ${object(e)} ${kind(e)} #${e[SEQ]}`.toLowerCase(); if (!words.every(w => text.includes(w))) return; }
    shown.push(i);
  });
  place = new Map(shown.map((i, p) => [i, p]));
  let text = shown.length === events.length ? `${events.length} events` : `${shown.length} of ${events.length} events`;
  if (data.bare) text += `, ${data.bare} without details`;
  if (data.cut) text += `, ${data.cut} more in the JSON lines`;
  $("shown").textContent = text;
  space.style.height = `${HEAD + shown.length * ROW + 8}px`;
  draw();
}
data.lanes.forEach((lane, i) => {
  const count = events.filter(e => e[LANE] === i).length;
  if (!count) return;
  const chip = el("button", "chip"); chip.ariaPressed = "true";
  const dot = el("i"); dot.style.background = `var(--${lane})`; chip.append(dot, lane + " ", el("b", "", count));
  chip.onclick = () => { hidden.has(i) ? hidden.delete(i) : hidden.add(i); chip.ariaPressed = !hidden.has(i); filter(); };
  $("lanes").append(chip);
});
query.oninput = filter;

// --- the list: time, lanes with causal arrows, text
const space = el("div"); space.style.position = "relative";
const head = el("div", "head"), rows = el("div"), graph = svg("svg", { width: 256, "aria-hidden": "true" });
head.append(Object.assign(el("span", "", "time"), { style: "left:10px" }));
data.lanes.forEach((lane, i) => { const s = el("span", "", lane[0].toUpperCase()); s.title = lane; s.style.cssText = `left:${X0 + i * XSTEP - 4}px;color:var(--${lane});font-weight:700`; head.append(s); });
head.append(Object.assign(el("span", "", "what happened"), { style: "left:262px" }));
list.append(head, space); space.append(graph, rows);
const top = p => p * ROW + 2, laneX = e => X0 + e[LANE] * XSTEP;
function draw() {
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 15), last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW) + 40);
  rows.replaceChildren();
  for (let p = first; p < last; p++) {
    const i = shown[p], e = events[i], row = el("div", "row");
    row.id = `row-${e[SEQ]}`; row.setAttribute("role", "option"); row.style.top = `${top(p)}px`;
    if (i === picked) { row.classList.add("pick"); row.ariaSelected = "true"; list.setAttribute("aria-activedescendant", row.id); }
    if (isBad(e)) row.classList.add("bad");
    if (kind(e) === "step") row.classList.add("step");
    const same = p > 0 && events[shown[p - 1]][MS] === e[MS];
    const what = el("span", "x");
    if (object(e)) what.append(el("span", "o", object(e)));
    what.append(e[TEXT]);
    const lead = e[DETAIL] && e[DETAIL].changes && e[DETAIL].changes.find(c => !NOISE.test(c[0]));
    if (lead) what.append(el("span", "lead", `${lead[0]}: ${lead[1] ?? "(absent)"} → ${lead[2] ?? "(absent)"}`));
    row.append(el("span", same ? "t same" : "t", clock(e[MS])), what);
    row.title = `#${e[SEQ]} ${data.lanes[e[LANE]]} ${kind(e)} at ${clock(e[MS])}`;
    row.onclick = () => pick(i);
    rows.append(row);
  }
  arrows(first, last);
}
function arrows(first, last) {
  graph.setAttribute("height", HEAD + shown.length * ROW);
  graph.replaceChildren();
  data.lanes.forEach((_, l) => graph.append(svg("line", { x1: X0 + l * XSTEP, x2: X0 + l * XSTEP, y1: top(first), y2: top(last), stroke: "var(--line)" })));
  const chain = new Set();
  for (let i = picked; i >= 0 && !chain.has(i);) { chain.add(i); const c = events[i][CAUSE]; i = c == null ? -1 : bySeq.get(c) ?? -1; }
  const near = picked < 0 ? null : new Set((effects.get(events[picked][SEQ]) || []).map(s => bySeq.get(s)));
  const front = [];
  for (let p = first; p < last; p++) {
    const i = shown[p], e = events[i], y = top(p) + ROW / 2, x = laneX(e);
    const from = e[CAUSE] == null ? undefined : place.get(bySeq.get(e[CAUSE]));
    if (from !== undefined) {
      const hot = chain.has(i) || near && near.has(i), far = p - from > 60 && !hot;
      const c = events[shown[from]], y0 = top(from) + ROW / 2, x0 = laneX(c), dir = x === x0 ? 1 : Math.sign(x - x0);
      // Same lane: bow to the right. Other lane: leave downwards, arrive from the side of the cause.
      const d = far ? `M ${x - 9} ${y - 6} L ${x - 4} ${y - 3}`
        : x === x0 ? `M ${x0} ${y0} C ${x0 + 13} ${y0 + 4}, ${x + 13} ${y - 4}, ${x + 4} ${y - 1}`
        : `M ${x0} ${y0} C ${x0} ${y}, ${x0} ${y}, ${x - dir * 5} ${y}`;
      const path = svg("path", { d, fill: "none", stroke: hot ? "var(--link)" : "var(--soft)", "stroke-width": hot ? 2 : 1, opacity: hot ? 1 : .45 });
      const tip = x === x0 ? `M ${x + 4} ${y - 1} l 5 -4 m -5 4 l 6 2` : `M ${x - dir * 5} ${y} l ${-dir * 5} -3.5 v 7 z`;
      const arrow = svg("path", { d: far ? d : tip, stroke: hot ? "var(--link)" : "var(--soft)", fill: far || x === x0 ? "none" : hot ? "var(--link)" : "var(--soft)", "stroke-width": .5, opacity: hot ? 1 : .6 });
      if (hot) front.push(path, arrow); else graph.append(path, arrow);
    }
    const dot = isBad(e) ? svg("path", { d: `M ${x - 5} ${y - 5} l 10 10 m 0 -10 l -10 10`, stroke: colour(e), "stroke-width": 3 })
      : kind(e) === "step" ? svg("rect", { x: x - 5, y: y - 5, width: 10, height: 10, rx: 2, fill: colour(e) })
      : svg("circle", { cx: x, cy: y, r: i === picked ? 6 : 4, fill: colour(e), stroke: "var(--panel)", "stroke-width": 1.5 });
    front.push(dot);
  }
  graph.append(...front);
}
list.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
addEventListener("resize", draw);

// --- one event
function pick(i, address = true) {
  if (i == null || i < 0 || i >= events.length) return;
  if (!place.has(i)) { query.value = ""; hidden.clear(); document.querySelectorAll("#lanes .chip").forEach(c => c.ariaPressed = "true"); filter(); }
  picked = i;
  const y = top(place.get(i));
  if (y < list.scrollTop + ROW || y > list.scrollTop + list.clientHeight - HEAD - 2 * ROW) list.scrollTop = y - list.clientHeight / 2;
  if (address) history.replaceState(null, "", `#e${events[i][SEQ]}`);
  draw(); show(events[i]); marker();
}
function link(seq, prefix) {
  const i = bySeq.get(seq), e = events[i];
  const b = el("button", "link", e ? `${prefix}#${seq} ${clock(e[MS])} ${object(e)} ${e[TEXT]}` : `${prefix}#${seq} (not on this page)`);
  if (e) b.onclick = () => pick(i);
  return b;
}
function show(e) {
  detail.replaceChildren(el("p", "sub", `#${e[SEQ]} · ${clock(e[MS])} · ${data.lanes[e[LANE]]} · ${kind(e)}`), el("h3", "", `${object(e)} ${e[TEXT]}`.trim()));
  const d = e[DETAIL] || {};
  if (d.changes && d.changes.length) {
    const box = el("div", "diff");
    for (const [path, a, b] of d.changes) {
      box.append(el("div", "p", path));
      if (a !== null) box.append(el("div", "d", "− " + a));
      if (b !== null) box.append(el("div", "a", "+ " + b));
    }
    if (d.more) box.append(el("div", "p", `and ${d.more} more fields`));
    detail.append(el("h4", "", "what changed"), box);
  }
  if (e[CAUSE] != null) {
    detail.append(el("h4", "", "because of"));
    for (let seq = e[CAUSE], n = 0; seq != null && n < 8; n++) { detail.append(link(seq, "")); const c = events[bySeq.get(seq)]; seq = c && c[CAUSE] < c[SEQ] ? c[CAUSE] : null; }
  }
  const after = effects.get(e[SEQ]) || [];
  if (after.length) { detail.append(el("h4", "", `led to (${after.length})`)); after.slice(0, 12).forEach(s => detail.append(link(s, ""))); }
  const facts = d.facts && (typeof d.facts === "string" ? d.facts : Object.entries(d.facts).filter(([, v]) => v !== null).map(([k, v]) => `${k}: ${typeof v === "string" ? v : JSON.stringify(v)}`).join("\n"));
  if (facts) detail.append(el("h4", "", "facts"), el("pre", "", facts));
  if (d.object) detail.append(el("h4", "", "object"), el("pre", "", d.object));
}
function nextWhere(test) { for (let k = 1; k <= shown.length; k++) { const i = shown[((place.get(picked) ?? -1) + k) % shown.length]; if (test(events[i])) return pick(i); } }
list.addEventListener("keydown", e => {
  const p = place.get(picked) ?? -1, page = Math.max(1, Math.floor(list.clientHeight / ROW) - 2);
  const to = { ArrowDown: p + 1, j: p + 1, ArrowUp: p - 1, k: p - 1, PageDown: p + page, PageUp: p - page, Home: 0, End: shown.length - 1 }[e.key];
  const now = events[picked];
  if (to !== undefined) pick(shown[Math.min(shown.length - 1, Math.max(0, to))]);
  else if (e.key === "c" && now && now[CAUSE] != null) pick(bySeq.get(now[CAUSE]));
  else if (e.key === "e" && now && effects.has(now[SEQ])) pick(bySeq.get(effects.get(now[SEQ])[0]));
  else if (e.key === "o" && now) nextWhere(x => x[OBJECT] != null && x[OBJECT] === now[OBJECT]);
  else if (e.key === "n") nextWhere(x => isBad(x) || kind(x) === "fault-started");
  else return;
  e.preventDefault();
});
addEventListener("keydown", e => { if (e.key === "/" && document.activeElement !== query) { e.preventDefault(); query.focus(); } else if (e.key === "Escape" && document.activeElement === query) list.focus(); });

// --- the overview: all lanes over time. Long quiet stretches are folded: a day of waiting must not hide a second of trouble.
const over = { w: 1000, left: 74, lane: 15 };
const times = [...new Set(events.map(e => e[MS]))];
const xs = new Map();
{ let x = 0; times.forEach((t, i) => { if (i) x += 1 + Math.log2(1 + (t - times[i - 1]) / 250); xs.set(t, x); });
  const scale = (over.w - over.left - 14) / Math.max(x, 1); for (const t of times) xs.set(t, over.left + xs.get(t) * scale); }
function xAt(ms) { let best = over.left; for (const t of times) { if (t > ms) break; best = xs.get(t); } return best; }
let mark;
function overview() {
  const used = data.lanes.map((_, i) => i).filter(i => events.some(e => e[LANE] === i)), h = used.length * over.lane + 22;
  const root = svg("svg", { viewBox: `0 0 ${over.w} ${h}`, role: "img", "aria-label": "overview of all lanes over scenario time", preserveAspectRatio: "none" });
  root.style.height = `${h * 1.3}px`; root.setAttribute("preserveAspectRatio", "xMidYMid meet"); root.removeAttribute("preserveAspectRatio"); root.style.height = "auto";
  const y = new Map(used.map((l, i) => [l, i * over.lane + 9]));
  for (const l of used) {
    root.append(svg("text", { x: 4, y: y.get(l) + 4 }, data.lanes[l]));
    root.append(svg("line", { x1: over.left, x2: over.w - 8, y1: y.get(l), y2: y.get(l), stroke: "var(--line)" }));
  }
  const ended = new Map();
  for (const e of events) if (kind(e) === "fault-ended" && e[DETAIL] && e[DETAIL].facts) ended.set(e[DETAIL].facts.fault, e[MS]);
  for (const e of events) if (kind(e) === "fault-started") {
    const x = xs.get(e[MS]), x2 = ended.has(e[SEQ]) ? xAt(ended.get(e[SEQ])) : over.w - 8;
    const band = svg("rect", { x, width: Math.max(2, x2 - x), y: 0, height: h - 16, fill: "var(--fault)", opacity: .1 });
    band.append(svg("title", {}, e[TEXT])); root.append(band);
    root.append(svg("rect", { x, width: Math.max(2, x2 - x), y: y.get(e[LANE]) - 2, height: 4, fill: "var(--fault)", opacity: .55 }));
  }
  const drawn = new Set();
  for (const e of events) {
    const key = `${e[LANE]}:${Math.round(xs.get(e[MS]) * 2)}:${isBad(e)}`;
    if (drawn.has(key)) continue; drawn.add(key);
    const x = xs.get(e[MS]), cy = y.get(e[LANE]);
    root.append(isBad(e) ? svg("path", { d: `M ${x - 4} ${cy - 4} l 8 8 m 0 -8 l -8 8`, stroke: "var(--failed)", "stroke-width": 2.5 })
      : svg("circle", { cx: x, cy, r: 2.4, fill: colour(e) }));
  }
  let lastLabel = -100;
  for (const t of times) { const x = xs.get(t); if (x - lastLabel > 95 && x < over.w - 40) { root.append(svg("text", { x, y: h - 3, "text-anchor": "middle" }, clock(t - t % 1000))); root.append(svg("line", { x1: x, x2: x, y1: h - 16, y2: h - 13, stroke: "var(--soft)" })); lastLabel = x; } }
  mark = svg("line", { y1: 0, y2: h - 14, stroke: "var(--link)", "stroke-width": 1.5, visibility: "hidden" });
  root.append(mark);
  root.addEventListener("click", c => {
    const r = root.getBoundingClientRect(), x = (c.clientX - r.left) * over.w / r.width;
    let best = 0; events.forEach((e, i) => { if (Math.abs(xs.get(e[MS]) - x) < Math.abs(xs.get(events[best][MS]) - x)) best = i; });
    pick(best); list.focus();
  });
  $("overview").append(root);
}
function marker() { if (!mark || picked < 0) return; const x = xs.get(events[picked][MS]); mark.setAttribute("x1", x); mark.setAttribute("x2", x); mark.setAttribute("visibility", "visible"); }

$("copy").onclick = async () => {
  const text = $("replay").textContent;
  try { await navigator.clipboard.writeText(text); $("copy").textContent = "copied"; }
  catch { getSelection().selectAllChildren($("replay")); }
};
function fromAddress() { const m = /^#e(\d+)$/.exec(location.hash); return m ? bySeq.get(Number(m[1])) : undefined; }
addEventListener("hashchange", () => pick(fromAddress()));
if (events.length) {
  overview(); filter();
  // Open at what matters: the address, else the first failure, else the beginning.
  const bad = events.findIndex(isBad);
  pick(fromAddress() ?? (bad >= 0 ? bad : 0), false);
} else { $("shown").textContent = "no events"; }
})();
