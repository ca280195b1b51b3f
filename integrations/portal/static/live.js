// The board renews itself every 20 seconds, unless somebody is typing or not looking.
const renew = async () => {
  const typing = document.activeElement && document.activeElement.matches("input, select, textarea");
  if (document.hidden || typing) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.redirected) return location.reload();
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["live", "orders"]) {
      const fresh = page.getElementById(id);
      const open = document.querySelector("#" + id + " details[open]");
      if (!fresh) continue;
      if (open) fresh.querySelectorAll("details").forEach((each) => { each.open = true; });
      document.getElementById(id).replaceWith(fresh);
    }
  } catch { /* the server is away for a moment; the next time will do */ }
};
setInterval(renew, 20000);
