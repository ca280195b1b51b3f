// What stands in `data-live` renews itself every so many seconds, unless nobody is looking. A part with a `data-key`
// that somebody has begun to fill in is left alone; if it is over meanwhile, it says so (`.gone`).
const used = new WeakSet();
const isInUse = (part) =>
  used.has(part) || part.contains(document.activeElement) || part.open || part.querySelector("details[open]");
document.addEventListener("input", (event) => {
  const part = event.target.closest("[data-key]");
  if (part) used.add(part);
});

const merge = (old, fresh) => {
  old.dataset.now = fresh.dataset.now || "";
  const kept = new Map();
  for (const part of [...old.children]) {
    if (part.dataset.key && isInUse(part)) kept.set(part.dataset.key, part);
    else part.remove();
  }
  // what is kept is never moved (it would lose the cursor): the rest is put in around it
  const keys = new Set([...fresh.children].map((part) => part.dataset.key));
  const onwards = (part) => (part && !keys.has(part.dataset.key) ? onwards(part.nextElementSibling) : part);
  let before = onwards(old.firstElementChild);
  for (const part of [...fresh.children]) {
    const mine = kept.get(part.dataset.key);
    if (mine) {
      kept.delete(part.dataset.key);
      before = onwards(mine.nextElementSibling);
    } else old.insertBefore(part, before);
  }
  for (const over of kept.values()) over.querySelectorAll(":scope > .gone").forEach((said) => { said.hidden = false; });
};

const replace = (old, fresh) => {
  if (old.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return;
  if (old.querySelector("details[open]")) fresh.querySelectorAll("details").forEach((each) => { each.open = true; });
  old.replaceWith(fresh);
};

const renew = async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.redirected) return location.reload();
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (fresh) (fresh.querySelector(":scope > [data-key]") ? merge : replace)(old, fresh);
    }
    tick();
  } catch { /* the server is away for a moment; the next time will do */ }
};

// Countdowns go by the server's clock: a till may be minutes off.
let ahead = 0;
const clocks = () => {
  const told = document.querySelector("[data-now]");
  if (told && told.dataset.now) ahead = Date.now() - Date.parse(told.dataset.now);
};
const tick = () => {
  for (const each of document.querySelectorAll("[data-due]")) {
    const left = Math.round((Date.parse(each.dataset.due) - Date.now() + ahead) / 1000), far = Math.abs(left);
    if (far >= 3600) continue;
    const said = `${Math.floor(far / 60)}:${String(far % 60).padStart(2, "0")}`;
    each.textContent = left >= 0 ? `还有 ${said}` : `已超时 ${said}`;
    each.parentElement.classList.toggle("late", left < 60);
  }
};
clocks();
tick();
setInterval(tick, 1000);
setInterval(renew, 1000 * document.querySelector("[data-live]").dataset.live);
