// The right pane: where the loop stands, how well the policy drives, what it fails at, what it costs.

import { element } from "./markdown.js";

const STAGES = ["generate", "train", "evaluate", "feedback"];
const TITLES = { generate: "Generate", train: "Train", evaluate: "Evaluate", feedback: "Feedback" };
const MOST_LOOPS = 8;
const MOST_FAILURES = 5;

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const whole = new Intl.NumberFormat(undefined);

/** "40 s", "about 4 min", "about 2 h". */
function duration(seconds) {
  if (seconds < 10) return "a few seconds";
  if (seconds < 100) return `${Math.round(seconds / 5) * 5} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const svg = (tag, attributes, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

const section = (title, ...children) => {
  const node = element("section", "", element("h3", "", title), ...children);
  node.setAttribute("aria-label", title);
  return node;
};

/** Where a stage of the newest loop stands: "done", "now" or "next". */
function standing(stage, loop) {
  if (!loop) return "next";
  if (loop.ending === "completed") return "done";
  const at = STAGES.indexOf(loop.stage);
  const own = STAGES.indexOf(stage);
  return at < 0 ? "next" : own < at ? "done" : own === at ? "now" : "next";
}

function stepper(loop) {
  const steps = STAGES.map((stage) => {
    const where = standing(stage, loop);
    const fill = element("i", "");
    fill.style.width = where === "done" ? "100%" : where === "now" ? `${100 * (loop.progress ?? 0.02)}%` : "0";
    const step = element("li", where, element("span", "track", fill), element("span", "title", TITLES[stage]));
    step.setAttribute("aria-label", `${TITLES[stage]}: ${{ done: "done", now: "running", next: "to come" }[where]}`);
    if (where === "now") step.setAttribute("aria-current", "step");
    return step;
  });
  return element("ol", "stepper", ...steps);
}

function head(mission, loops) {
  const loop = loops.at(-1);
  const chip = element("span", `chip ${mission.state}`, mission.state);
  const number = loop ? `Loop ${loop.number} of ${mission.planned_loops}` : `${mission.planned_loops} loops planned`;
  const nodes = [element("div", "title-row", element("h2", "", number), chip), element("p", "goal", mission.goal)];
  if (loop) nodes.push(stepper(loop));
  const running = loop?.stage && !loop.ending;
  const doing = running ? loop.doing : (mission.ending ?? loop?.doing ?? "");
  const line = element("p", "doing-line", element("span", "", doing || "getting ready"));
  if (running && loop.eta_s != null) line.append(element("span", "eta", `${duration(loop.eta_s)} left`));
  nodes.push(line);
  return element("section", "head", ...nodes);
}

/** A track from 0 to 100 % with the interval as a band, the rate as a dot, the target as a tick. */
function interval(rate, target, className = "") {
  const band = element("span", "band");
  band.style.left = `${100 * rate.low}%`;
  band.style.width = `${100 * (rate.high - rate.low)}%`;
  const dot = element("span", "dot");
  dot.style.left = `${100 * rate.rate}%`;
  const tick = element("span", "tick");
  tick.style.left = `${100 * target}%`;
  return element("span", `interval ${className}`, band, tick, dot);
}

function success(mission, loops) {
  const measured = loops.filter((loop) => loop.scenes);
  const newest = measured.at(-1);
  const canary = loops.at(-1)?.canary;
  const target = element("span", "target", `target ${percent(mission.target_success).replace(".0", "")}`);
  if (!newest && !canary) {
    return section("Closed-loop success", element("p", "none", "Not measured yet. The first canary rollouts come during training."), target);
  }
  const rate = newest?.scenes ?? canary;
  const what = newest ? `hidden scenes, loop ${newest.number}` : "canary scenes, training still runs";
  const nodes = [
    element("div", "figure", element("strong", "", percent(rate.rate)), target),
    element("p", "caption", `${rate.successes} of ${rate.trials} ${what}; 95 % interval ${(100 * rate.low).toFixed(1)}–${percent(rate.high)}`),
  ];
  const rows = measured.slice(-MOST_LOOPS).map((loop) => row(`Loop ${loop.number}`, loop.scenes, mission.target_success));
  if (canary && !loops.at(-1).scenes) rows.push(row("Canary", canary, mission.target_success, "hollow"));
  nodes.push(element("div", "rates", ...rows, element("div", "axis", element("span", "", "0"), element("span", "", "50"), element("span", "", "100 %"))));
  return section("Closed-loop success", ...nodes);
}

function row(label, rate, target, className) {
  const node = element("div", "rate", element("span", "label", label), interval(rate, target, className), element("span", "value", percent(rate.rate)));
  node.title = `${label}: ${rate.text}`;
  return node;
}

/** The loss on a logarithmic scale: each halving is the same step down. */
function losses(training) {
  const points = (training?.points ?? []).filter(([, loss]) => loss > 0);
  if (points.length < 2) return null;
  const [width, height, pad] = [300, 64, 3];
  const logs = points.map(([, loss]) => Math.log(loss));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const last = Math.max(training.total ?? 0, points.at(-1)[0]);
  const xy = points.map(([samples], i) => [
    (samples / last) * width,
    pad + (1 - (logs[i] - low) / Math.max(high - low, 1e-9)) * (height - 2 * pad),
  ]);
  const path = xy.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "losses", "aria-hidden": "true" },
    svg("path", { d: `${path}L${xy.at(-1)[0].toFixed(1)} ${height}L${xy[0][0].toFixed(1)} ${height}Z`, class: "under" }),
    svg("path", { d: path, class: "line", "vector-effect": "non-scaling-stroke" }));
  const [samples, loss] = points.at(-1);
  const total = training.total ? ` of ${whole.format(training.total)}` : "";
  return section("Training loss", chart, element("p", "caption split", element("span", "", `${whole.format(samples)}${total} samples`), element("span", "mono", loss.toPrecision(3))));
}

function failures(loops) {
  const loop = loops.findLast((one) => one.scenes);
  if (!loop?.failures.length) return null;
  const most = Math.max(...loop.failures.map(([, count]) => count));
  const rows = loop.failures.slice(0, MOST_FAILURES).map(([name, count]) => {
    const bar = element("i", "");
    bar.style.width = `${(100 * count) / most}%`;
    return element("li", "", element("span", "label", name.replaceAll("_", " ")), element("span", "share", bar), element("span", "value", String(count)));
  });
  return section(`What fails, loop ${loop.number}`, element("ul", "failures", ...rows));
}

function spending(mission, loops) {
  const loop = loops.at(-1);
  const nodes = [element("div", "", element("strong", "", mission.spent), element("span", "", "model calls"))];
  if (loop) nodes.push(element("div", "", element("strong", "", loop.spent), element("span", "", "this loop")));
  if (loop) nodes.push(element("div", "", element("strong", "", `${loop.minutes.toFixed(1)} min`), element("span", "", "this loop so far")));
  return section("Cost", element("div", "spent", ...nodes));
}

export function drawBoard(pane, status, training) {
  if (!status?.mission) {
    pane.replaceChildren(
      element("section", "head", element("h2", "", "No mission yet"),
        element("p", "goal", "Type /loop start to begin: the team makes episodes, trains a policy, lets it drive, and learns from its failures."),
        stepper(null)),
    );
    return;
  }
  const { mission, loops } = status;
  const parts = [head(mission, loops), success(mission, loops), losses(training), failures(loops), spending(mission, loops)];
  pane.replaceChildren(...parts.filter(Boolean));
}

/** The board in one line, for narrow screens. */
export function drawStrip(button, status) {
  const loop = status?.loops?.at(-1);
  if (!loop) {
    button.replaceChildren(element("span", "", "No loop yet"));
    return;
  }
  const measured = status.loops.findLast((one) => one.scenes)?.scenes ?? loop.canary;
  const share = loop.stage && !loop.ending ? `${TITLES[loop.stage]} ${loop.progress == null ? "" : `${Math.round(100 * loop.progress)} %`}` : (loop.ending ?? "");
  const fill = element("i", "");
  fill.style.width = `${100 * (loop.ending ? 1 : (loop.progress ?? 0))}%`;
  button.replaceChildren(
    element("span", "", `Loop ${loop.number}/${status.mission.planned_loops} · ${share}`),
    element("strong", "", measured ? percent(measured.rate) : ""),
    element("span", "track", fill),
  );
}
