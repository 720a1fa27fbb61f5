// Fetches again, every five seconds, what is alive on a page. Without it a reload shows the same.
"use strict";
const live = document.querySelector("[data-live]");
if (live) {
  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(live.dataset.live, { headers: { accept: "text/html" } });
      if (answer.status === 401) location.assign("/login");
      // What somebody is reading or has the focus in is not taken away.
      if (answer.ok && !live.contains(document.activeElement) && getSelection().isCollapsed) {
        live.innerHTML = await answer.text();
        live.classList.remove("stale");
      }
    } catch {
      live.classList.add("stale");
    }
  };
  setInterval(look, 5000);
}
