// A page that stays true: the broker sends its changed parts, and they are put in place without disturbing the reader.
// Without this script everything works by loading the page; where the stream cannot be had, the page is fetched instead.
(() => {
  "use strict";

  // ---- putting new parts in place ----

  const kept = new Set(["open", "value", "checked", "selected"]);

  function keyOf(node) {
    return node.nodeType === 1 ? node.getAttribute("data-key") || node.id : "";
  }

  function copyAttributes(from, to) {
    for (const { name, value } of [...to.attributes]) {
      if ((!kept.has(name) || from.localName === "progress") && from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    for (const { name } of [...from.attributes]) {
      if (!kept.has(name) && !to.hasAttribute(name)) from.removeAttribute(name);
    }
  }

  function morph(from, to) {
    if (from.nodeType === 3) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    if (from.nodeType !== 1 || from.isEqualNode(to)) return;
    // Whoever fills in a form is left alone.
    if (from.nodeName === "FORM" && from.contains(document.activeElement)) return;
    copyAttributes(from, to);
    morphChildren(from, to);
  }

  function morphChildren(from, to) {
    const byKey = new Map();
    for (const child of from.childNodes) {
      const key = keyOf(child);
      if (key) byKey.set(key, child);
    }
    let here = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      const key = keyOf(wanted);
      let found = key ? byKey.get(key) : here;
      const fits = found && found.nodeType === wanted.nodeType && found.nodeName === wanted.nodeName;
      if (!fits || (!key && keyOf(found))) found = null;
      if (!found) {
        from.insertBefore(document.importNode(wanted, true), here);
        continue;
      }
      if (found !== here) from.insertBefore(found, here);
      here = found.nextSibling;
      byKey.delete(key);
      morph(found, wanted);
    }
    while (here) {
      const next = here.nextSibling;
      here.remove();
      here = next;
    }
  }

  function place(id, html) {
    const old = document.getElementById(id);
    const made = document.createElement("template");
    made.innerHTML = html.trim();
    if (old && made.content.firstElementChild) morph(old, made.content.firstElementChild);
  }

  // ---- staying live ----

  const QUIET_MS = 25000;
  const RELOAD_MS = 5000;
  const sign = document.getElementById("liveness");
  const text = document.getElementById("liveness-text");
  const button = document.getElementById("liveness-button");
  const trouble = document.getElementById("trouble");
  let source = null;
  let watch = 0;
  let reload = 0;
  let isPaused = false;

  function show(state, words) {
    sign.className = `liveness ${state}`;
    if (text.textContent !== words) text.textContent = words;
  }

  function tell(words) {
    trouble.textContent = words;
    trouble.hidden = !words;
  }

  function heard() {
    clearTimeout(watch);
    watch = setTimeout(() => show("stalled", "no news"), QUIET_MS);
    show("live", "live");
  }

  function listen() {
    leave();
    if (isPaused || document.hidden) return;
    source = new EventSource(location.pathname + location.search);
    source.addEventListener("part", (event) => {
      const { id, html } = JSON.parse(event.data);
      place(id, html);
      tell("");
      heard();
    });
    source.addEventListener("beat", heard);
    source.addEventListener("trouble", (event) => {
      tell(JSON.parse(event.data));
      heard();
      show("stalled", "trouble");
    });
    source.onopen = heard;
    source.onerror = () => {
      show("stalled", "reconnecting");
      // The browser tries again by itself, unless it was told that there is no stream to be had.
      if (source && source.readyState === EventSource.CLOSED) fetchSoon();
    };
  }

  function leave() {
    if (source) source.close();
    source = null;
    clearTimeout(watch);
    clearTimeout(reload);
  }

  function fetchSoon() {
    leave();
    reload = setTimeout(fetchOnce, RELOAD_MS);
  }

  async function fetchOnce() {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of page.querySelectorAll("[id^=live_]")) {
        const old = document.getElementById(part.id);
        if (old) morph(old, part);
      }
      show("live", "every 5 s");
      tell("");
    } catch {
      show("stalled", "no answer");
    }
    if (!isPaused && !document.hidden) fetchSoon();
  }

  if (sign && "live" in document.body.dataset) {
    sign.hidden = false;
    show("stalled", "connecting");
    button.addEventListener("click", () => {
      isPaused = !isPaused;
      button.textContent = isPaused ? "Resume" : "Pause";
      if (isPaused) {
        leave();
        show("paused", "paused");
      } else {
        listen();
      }
    });
    document.addEventListener("visibilitychange", listen);
    window.addEventListener("pagehide", leave);
    window.addEventListener("pageshow", (event) => event.persisted && listen());
    listen();
  }

  // ---- the keyboard ----

  document.addEventListener("keydown", (event) => {
    const search = document.querySelector("input[type=search]");
    const isTyping = event.target.closest("input, textarea, select");
    if (event.key === "/" && search && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    }
  });

  // A selection acts at once; the button beside it is for those without this script.
  for (const select of document.querySelectorAll("select[data-acts]")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
})();
