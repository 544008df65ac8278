// The page removes files from the server at the end of a request. Its own copies are sent again
// with the next request, and played.
window.ser = (() => {
  const kept = {}; // by field: path on the server -> {blob, name}

  // Browsers take some sounds for videos, .webm and .mp4 for instance, and Gradio's field for sound
  // takes nothing else than audio/*. The server decides by the content.
  const SOUNDS = ".sound input[type=file]";

  function asAudio(files) {
    const all = new DataTransfer();
    let changed = false;
    for (const file of files) {
      const suffix = window.serSuffixes.find((end) => file.name.toLowerCase().endsWith(end));
      const other = suffix && !file.type.startsWith("audio/");
      changed ||= other;
      const type = other ? `audio/${suffix.slice(1)}` : file.type;
      all.items.add(other ? new File([file], file.name, { type }) : file);
    }
    return changed ? all : null;
  }

  document.addEventListener(
    "click",
    (event) => {
      if (!event.target.matches?.(SOUNDS)) return;
      event.target.accept = ["audio/*", ...window.serSuffixes].join(); // what the dialog offers
    },
    true,
  );
  document.addEventListener(
    "change",
    (event) => {
      if (!event.target.matches?.(SOUNDS)) return;
      const all = asAudio(event.target.files);
      if (all) event.target.files = all.files;
    },
    true,
  );
  document.addEventListener(
    "drop",
    (event) => {
      const here = event.target.closest?.(".sound") && event.dataTransfer?.files;
      const dataTransfer = here && asAudio(here);
      if (!dataTransfer) return;
      event.preventDefault();
      event.stopPropagation();
      const again = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer });
      event.target.dispatchEvent(again);
    },
    true,
  );

  const asked = new Set(); // fields whose answer has not come
  const requests = {}; // by field: how many requests were sent
  const cancels = {}; // by field: how often its requests were cancelled

  function cancelled(field) {
    cancels[field] = (cancels[field] ?? 0) + 1;
  }

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
    asked.add(field);
    requests[field] = (requests[field] ?? 0) + 1;
    const before = cancels[field];
    const old = kept[field] ?? new Map();
    const now = (kept[field] = new Map());
    let files = value;
    if (Array.isArray(value)) {
      files = [];
      for (const file of value) files.push(await prepared(old, now, file));
    } else if (value) {
      files = await prepared(old, now, value);
    }
    // Gradio cancels only what has been sent; an error keeps this from being sent.
    if (cancels[field] !== before) throw new Error("cancelled before it was sent");
    return [files, ...others];
  }

  // Ask about a new input; the button is not shown. A click has no effect while the request before
  // is being cancelled.
  async function ask(file, button, field) {
    const before = requests[field];
    for (let tries = 0; file && tries < 100 && requests[field] === before; tries++) {
      document.getElementById(button)?.click();
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  // On a phone the answer is below the window: scroll to it when it comes, once for a request.
  function reveal(field, line, answer) {
    setTimeout(() => {
      if (!document.querySelector(`#${answer} .answer`) || !asked.delete(field)) return;
      if (window.innerWidth >= 768) return;
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      const target = document.getElementById(line);
      target.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
    }, 100); // when the page has drawn it
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

  const heard = new Audio(); // the clip of a row

  function seek(audio, seconds) {
    audio.currentTime = seconds;
    audio.play().catch(() => {});
  }

  function save(url, name) {
    const link = document.createElement("a");
    Object.assign(link, { href: url, download: name });
    link.click();
  }

  document.addEventListener("click", (event) => {
    // The server no longer has a file that was asked about; its copy is saved.
    const path = decodeURI(event.target.closest("a[href*='/file=']")?.href ?? "").split("/file=")[1];
    const copy = Object.values(kept).find((files) => files.has(path))?.get(path);
    if (copy) {
      event.preventDefault();
      save(URL.createObjectURL(copy.blob), copy.name);
      return;
    }
    const row = event.target.closest("tr[data-sound]");
    if (row) {
      heard.src = row.dataset.sound;
      heard.play().catch(() => {});
      for (const other of document.querySelectorAll("tr.now")) other.classList.remove("now");
      row.classList.add("now");
      return;
    }
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

  // The waveform is a slider: the arrow keys move by five seconds.
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5 }[event.key];
    const audio = event.target.closest?.(".wave")?.closest(".timeline").querySelector("audio");
    if (!audio || !(step || event.key === " " || event.key === "Enter")) return;
    event.preventDefault();
    if (step) audio.currentTime = Math.max(0, audio.currentTime + step);
    else if (audio.paused) audio.play().catch(() => {});
    else audio.pause();
  });

  // Media events do not bubble, but they can be caught on their way down.
  document.addEventListener(
    "timeupdate",
    (event) => {
      const timeline = event.target.closest?.(".timeline");
      if (!timeline) return;
      const now = event.target.currentTime;
      const wave = timeline.querySelector(".wave");
      const seconds = Number(wave.dataset.seconds);
      wave.setAttribute("aria-valuenow", Math.round(now));
      timeline.querySelector(".head").style.left = `${Math.min(100, (100 * now) / seconds)}%`;
      for (const row of timeline.querySelectorAll("tr[data-from]")) {
        const here = now >= Number(row.dataset.from) && now < Number(row.dataset.to);
        row.classList.toggle("now", here);
      }
    },
    true,
  );

  // The live tab: the sound of the microphone goes to the server, one chunk after the other.
  const CHUNK_MS = 500;
  const WAITING_S = 30; // more sound than that waits only where the server is too slow
  const WORKLET = `registerProcessor("ser-samples", class extends AudioWorkletProcessor {
    process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; } });`;
  let on = null; // the microphone that is on

  function show(id, html) {
    const target = document.querySelector(`#${id} .prose`) ?? document.getElementById(id);
    // A status that is read aloud changes only when it says something else.
    if (target && html !== undefined && target.dataset.html !== html) {
      target.innerHTML = target.dataset.html = html;
    }
  }

  function say(kind, line) {
    const text = document.createElement("p");
    Object.assign(text, { className: kind, textContent: line });
    text.setAttribute("role", kind === "error" ? "alert" : "status");
    show("live-status", text.outerHTML);
  }

  function off(mine) {
    mine.stream?.getTracks().forEach((track) => track.stop());
    mine.context?.close();
    if (on === mine) on = null;
  }

  async function listen() {
    if (on) return;
    const mine = (on = { samples: [], name: crypto.randomUUID(), ending: false });
    show("live-answer", "");
    try {
      mine.stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
      const context = (mine.context = new AudioContext());
      const code = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
      await context.audioWorklet.addModule(code);
      const node = new AudioWorkletNode(context, "ser-samples");
      node.port.onmessage = ({ data }) => mine.samples.push(data);
      context.createMediaStreamSource(mine.stream).connect(node);
    } catch (error) {
      off(mine);
      say("error", `The browser gives no microphone: ${error.message}.`);
      return;
    }
    // A microphone that is unplugged or forbidden ends the recording.
    mine.stream.getTracks()[0].onended = () => { mine.lost = mine.ending = true; };
    say("hint", "Listening.");
    await send_all(mine);
  }

  async function send_all(mine) {
    for (let last = false; !last; ) {
      await new Promise((done) => setTimeout(done, CHUNK_MS));
      last = mine.ending;
      const parts = mine.samples.splice(0);
      const rate = mine.context.sampleRate;
      const size = parts.reduce((sum, part) => sum + part.length, 0);
      if (size > WAITING_S * rate) {
        off(mine);
        say("error", "Stopped: the server is too slow to follow.");
        return;
      }
      const chunk = new Int16Array(size);
      let at = 0;
      for (const part of parts) {
        for (const value of part) {
          chunk[at++] = Math.round(32767 * Math.max(-1, Math.min(1, value)));
        }
      }
      const address = `live/${mine.name}?rate=${Math.round(rate)}${last ? "&last" : ""}`;
      const reply = await fetch(address, { method: "POST", body: chunk })
        .then((found) => found.json())
        .catch(() => null);
      if (!reply) {
        off(mine);
        say("error", "Stopped: the server does not answer.");
        return;
      }
      show("live-status", reply.status);
      show("live-answer", reply.answer);
      last ||= reply.ended;
    }
    off(mine);
    if (mine.lost) say("error", "Stopped: the microphone is gone.");
  }

  function silence() {
    if (on) on.ending = true;
  }

  return { cancelled, send, player, stopAfter, ask, reveal, listen, silence };
})();
