// The page removes files from the server at the end of a request. Its own copies are sent again
// with the next request, and played.
window.ser = (() => {
  const kept = {}; // by field: path on the server -> {blob, name}

  async function prepared(old, now, file) {
    const copy = old.get(file.path);
    if (copy === undefined) {
      const reply = await fetch(file.url).catch(() => null);
      if (reply?.ok) now.set(file.path, { blob: await reply.blob(), name: file.orig_name });
      return file;
    }
    now.set(file.path, copy);
    const form = new FormData();
    form.append("files", copy.blob, copy.name);
    const base = file.url.split("/file=")[0];
    const reply = await fetch(`${base}/upload`, { method: "POST", body: form });
    if (!reply.ok) return file; // the server reports that the file does not exist
    const [path] = await reply.json();
    return { ...file, path, url: `${base}/file=${path}` };
  }

  // Called with the inputs of a request whose first is a file, or a list of files.
  async function send(field, value, ...others) {
    const old = kept[field] ?? new Map();
    const now = (kept[field] = new Map());
    let files = value;
    if (Array.isArray(value)) {
      files = [];
      for (const file of value) files.push(await prepared(old, now, file));
    } else if (value) {
      files = await prepared(old, now, value);
    }
    return [files, ...others];
  }

  // Let the timeline's player play the copy.
  function player(field) {
    const audio = document.querySelector(`#${field} audio`);
    const copy = kept[field.replace(/-answer$/, "")]?.values().next().value;
    if (audio && copy) audio.src = URL.createObjectURL(copy.blob);
  }

  // Stop the microphone after the paper's three seconds, if that is wanted. The timer of a recording
  // that was stopped by hand must not stop the next one.
  let timer;
  function stopAfter(wanted, seconds, field) {
    clearTimeout(timer);
    if (!wanted) return;
    timer = setTimeout(() => {
      document.querySelector(`#${field} .stop-button`)?.click();
    }, seconds * 1000);
  }

  function seek(audio, seconds) {
    audio.currentTime = seconds;
    audio.play().catch(() => {});
  }

  document.addEventListener("click", (event) => {
    const timeline = event.target.closest(".timeline");
    const audio = timeline?.querySelector("audio");
    if (!audio) return;
    const button = event.target.closest("[data-start]");
    const picture = event.target.closest(".wave");
    if (button) {
      seek(audio, Number(button.dataset.start));
    } else if (picture) {
      const box = picture.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      seek(audio, share * Number(picture.dataset.seconds));
    }
  });

  // Media events do not bubble, but they can be caught on their way down.
  document.addEventListener(
    "timeupdate",
    (event) => {
      const timeline = event.target.closest?.(".timeline");
      if (!timeline) return;
      const now = event.target.currentTime;
      const seconds = Number(timeline.querySelector(".wave").dataset.seconds);
      timeline.querySelector(".head").style.left = `${Math.min(100, (100 * now) / seconds)}%`;
      for (const row of timeline.querySelectorAll("tr[data-from]")) {
        const here = now >= Number(row.dataset.from) && now < Number(row.dataset.to);
        row.classList.toggle("now", here);
      }
    },
    true,
  );

  return { send, player, stopAfter };
})();
