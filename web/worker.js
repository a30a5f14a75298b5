// Runs Python beside the page, so that the page stays alive and an endless loop can be ended.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const say = (step) => postMessage({ kind: "progress", step });

async function read(name, kind) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name} could not be loaded (${answer.status}).`);
  return answer[kind]();
}

async function start() {
  say("Loading Python");
  const reading = [read("bncourse.whl", "arrayBuffer"), read("session.py", "text")];
  const indexURL = new URL("./pyodide/", import.meta.url).href;
  const python = await loadPyodide({ indexURL, packageCacheDir: indexURL });
  say("Loading NumPy");
  await python.loadPackage("numpy", { messageCallback: () => {} });
  say("Loading the course");
  const [course, session] = await Promise.all(reading);
  python.unpackArchive(course, "wheel");
  python.FS.writeFile("/home/pyodide/session.py", session);
  const { run } = python.pyimport("session");
  say("Running");
  return run;
}

const starting = start();

onmessage = async ({ data }) => {
  try {
    const run = await starting;
    postMessage({ kind: "done", ...JSON.parse(run(JSON.stringify(data))) });
  } catch (error) {
    // Python itself gave up, for lack of memory or of a file: nothing of a reader's answer.
    postMessage({ kind: "failed", text: String(error.message ?? error) });
  }
};
