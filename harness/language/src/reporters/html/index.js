"use strict";
(() => {
// Filters of the table: text and outcome together. The address keeps them, so that a link shows the same.
const rows = [...document.querySelectorAll("tbody tr")];
const chips = [...document.querySelectorAll(".chip")];
const query = document.getElementById("q");
function apply() {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = new Set(chips.filter(c => c.ariaPressed === "true").map(c => c.dataset.outcome));
  let shown = 0;
  for (const row of rows) {
    const ok = wanted.has(row.dataset.outcome) && words.every(w => row.dataset.search.includes(w));
    row.hidden = !ok;
    shown += ok;
  }
  document.getElementById("shown").textContent = shown === rows.length ? "" : `${shown} of ${rows.length}`;
}
for (const chip of chips) chip.onclick = () => { chip.ariaPressed = chip.ariaPressed !== "true"; apply(); };
query.oninput = () => { history.replaceState(null, "", "#" + encodeURIComponent(query.value)); apply(); };
addEventListener("keydown", e => { if (e.key === "/" && document.activeElement !== query) { e.preventDefault(); query.focus(); } });
try { query.value = decodeURIComponent(location.hash.slice(1)); } catch { query.value = ""; }
apply();
})();
