// SPDX-License-Identifier: BSD-2-Clause
// The page of `unetmap serve`: asks /api/live once a second and shows what changed. Everything from the daemon - names of
// ports are any program's choice - becomes text nodes, never markup.
'use strict';

const kInterval = 1000, kHistory = 120;
const state = { before: null, chosen: null, filter: '', control: false, times: [], totals: [[], [], []], ports: new Map() };

const $ = (id) => document.getElementById(id);

function short(value) {
  const units = ['', 'K', 'M', 'G', 'T'];
  let unit = 0;
  while (value >= 999.5 && unit + 1 < units.length) { value /= 1000; unit++; }
  return unit === 0 ? value.toFixed(0) : value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + units[unit];
}
const percent = (d) => (d.slots ? Math.round(100 * d.used / d.slots) : 0) + '%';
const lostSum = (d) => Object.values(d.lost || {}).reduce((a, b) => a + b, 0);
function causes(port) {
  const parts = [];
  for (const way of ['tx', 'rx'])
    for (const [cause, packets] of Object.entries(port[way].lost || {})) parts.push(`${way} ${cause} ${short(packets)}`);
  return parts.join(', ');
}

function rates(before, now) {
  const old = new Map((before ? before.ports : []).map((p) => [p.unique, p]));
  const seconds = before ? (now.at_ns - before.at_ns) / 1e9 : 0;
  const per = (a, b) => (seconds > 0 && b > a ? (b - a) / seconds : 0);
  return now.ports.map((p) => {
    const was = old.get(p.unique);
    if (!was) return { tx: 0, txb: 0, rx: 0, rxb: 0, lost: 0, sent_lost: 0 };
    return {
      tx: per(was.tx.packets, p.tx.packets), txb: 8 * per(was.tx.bytes, p.tx.bytes),
      rx: per(was.rx.packets, p.rx.packets), rxb: 8 * per(was.rx.bytes, p.rx.bytes),
      lost: per(lostSum(was.tx) + lostSum(was.rx), lostSum(p.tx) + lostSum(p.rx)),
      // What finds no room is counted at both ends: a sum over ports takes the senders'.
      sent_lost: per(lostSum(was.tx), lostSum(p.tx)),
    };
  });
}

function stateOf(port) {
  if (port.connected === false) return port.state || 'nobody there';
  if (port.state) return port.state;
  if (!port.pids.length) return 'no program';
  return (port.asleep ? 'asleep' : 'running') + (port.lossless ? ', lossless' : '');
}

function element(name, attributes, ...children) {
  const svg = ['svg', 'g', 'rect', 'text', 'path', 'title'].includes(name);
  const made = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  for (const child of children) made.append(child);
  return made;
}

// --- charts ---

let chart = null, portChart = null;
function makeChart(parent, labels, colors) {
  if (typeof uPlot === 'undefined') {
    $('chart-note').textContent = 'The chart library is not installed: numbers only. (./dev build with npm at hand brings it.)';
    return null;
  }
  const series = [{}].concat(labels.map((label, i) => ({ label, stroke: colors[i], width: 1.5, value: (u, v) => (v == null ? '-' : short(v)) })));
  return new uPlot({
    width: Math.max(300, parent.clientWidth || 800), height: 180, series, legend: { live: true },
    axes: [{ stroke: '#888', grid: { stroke: '#8883' } }, { stroke: '#888', grid: { stroke: '#8883' }, size: 60, values: (u, values) => values.map(short) }],
    scales: { x: { range: (u, min, max) => [Math.min(min, max - 30), max] }, y: { range: (u, min, max) => [0, Math.max(10, max * 1.1)] } },
  }, [[], ...labels.map(() => [])], parent);
}
const push = (list, value) => { list.push(value); if (list.length > kHistory) list.shift(); };

// --- topology: a box for each switch, its busiest ports below it. What stays keeps its nodes, so that a click meets them. ---

const kMostPorts = 48;
let drawn = { key: '', ports: new Map() };

function portGroup(p, x, y, boxWidth, trunk) {
  const path = element('path', { d: `M${trunk.x},${trunk.y} C${trunk.x},${trunk.y + 18} ${x + boxWidth / 2},${y - 18} ${x + boxWidth / 2},${y}` });
  const group = element('g', { class: 'port', tabindex: 0, role: 'button', 'data-port': p.name });
  const one = element('text', { x: x + 6, y: y + 16 }), two = element('text', { x: x + 6, y: y + 32 }), title = element('title');
  const shortName = p.name.includes(':') ? p.name.slice(p.name.indexOf(':') + 1) : p.name;
  one.textContent = `${shortName.slice(0, 14)} (${p.kind})`;
  title.textContent = p.name;
  group.append(element('rect', { x, y, width: boxWidth, height: 40, rx: 4 }), one, two, title);
  group.addEventListener('click', () => choose(p.name));
  group.addEventListener('keydown', (event) => { if (event.key === 'Enter') choose(p.name); });
  return { path, group, two };
}

// Switches by name, each with its busiest ports, those by name.
function bySwitch(now, rate) {
  const switches = new Map();
  now.ports.forEach((p, i) => {
    const name = p.switch || 'pipes and interfaces';
    if (!switches.has(name)) switches.set(name, []);
    switches.get(name).push({ p, r: rate[i] });
  });
  return [...switches].sort().map(([name, ports]) => {
    const all = ports.length;
    if (all > kMostPorts) ports = ports.sort((a, b) => b.r.tx + b.r.rx - a.r.tx - a.r.rx).slice(0, kMostPorts);
    ports.sort((a, b) => (a.p.name < b.p.name ? -1 : 1));
    return { name, all, ports };
  });
}

function layOut(switches, width) {
  const svg = $('topology'), boxWidth = 150, gap = 8;
  const columns = Math.max(1, Math.floor((width + gap) / (boxWidth + gap)));
  const parts = [], ports = new Map();
  let y = 4;
  for (const { name, all, ports: shown } of switches) {
    parts.push(element('rect', { x: width / 2 - 90, y, width: 180, height: 26, rx: 4 }));
    const label = element('text', { x: width / 2, y: y + 18, 'text-anchor': 'middle', 'font-weight': 'bold' });
    label.textContent = `${name} (${all} port${all === 1 ? '' : 's'})`;
    parts.push(label);
    const trunk = { x: width / 2, y: y + 26 }, top = y + 52;
    shown.forEach(({ p }, i) => {
      const row = Math.floor(i / columns), inRow = Math.min(columns, shown.length - row * columns);
      const x = (width - inRow * (boxWidth + gap) + gap) / 2 + (i % columns) * (boxWidth + gap);
      const made = portGroup(p, x, top + row * 52, boxWidth, trunk);
      ports.set(p.name, made);
      parts.push(made.path, made.group);
    });
    y = top + Math.ceil(shown.length / columns) * 52 + 12;
    if (all > shown.length) {
      const more = element('text', { x: width / 2, y, 'text-anchor': 'middle' });
      more.textContent = `and ${all - shown.length} quieter ones: see the table`;
      parts.push(more);
      y += 16;
    }
  }
  svg.setAttribute('viewBox', `0 0 ${width} ${Math.max(y, 20)}`);
  svg.setAttribute('height', Math.max(y, 20));
  svg.replaceChildren(...parts);
  return ports;
}

function drawTopology(now, rate) {
  const switches = bySwitch(now, rate), width = Math.max(300, $('topology').clientWidth || 900);
  const key = JSON.stringify([width, switches.map((s) => [s.name, s.all, s.ports.map(({ p }) => [p.name, p.kind])])]);
  if (key !== drawn.key) drawn = { key, ports: layOut(switches, width) };
  for (const { ports } of switches)
    for (const { p, r } of ports) {
      const { path, two } = drawn.ports.get(p.name);
      path.setAttribute('class', r.lost > 0 ? 'loses' : r.tx + r.rx > 0 ? 'busy' : '');
      two.textContent = r.tx + r.rx > 0 ? `${short(r.tx)} sent ${short(r.rx)} rcvd` : stateOf(p).slice(0, 22);
    }
}

// --- tables ---

function cell(text) {
  const made = element('td');
  made.textContent = text;
  return made;
}

const kMostRows = 500;
const rowOf = new Map();  // by port, kept as long as it is shown
function rowFor(name) {
  let row = rowOf.get(name);
  if (!row) {
    row = element('tr', { 'data-port': name });
    for (let i = 0; i < 11; i++) row.append(element('td'));
    row.addEventListener('click', () => choose(name));
    rowOf.set(name, row);
  }
  return row;
}

function drawRows(now, rate) {
  const wanted = now.ports.map((p, i) => ({ p, r: rate[i] })).filter(({ p }) => p.name.includes(state.filter));
  wanted.sort((a, b) => b.r.tx + b.r.rx - a.r.tx - a.r.rx || (a.p.name < b.p.name ? -1 : 1));
  const shown = wanted.slice(0, kMostRows).map(({ p, r }) => {
    const row = rowFor(p.name);
    row.className = p.name === state.chosen ? 'chosen' : '';
    const texts = [p.name, p.kind, short(r.tx), short(r.txb), short(r.rx), short(r.rxb), percent(p.tx), percent(p.rx), short(r.lost), causes(p), stateOf(p)];
    texts.forEach((text, i) => { if (row.children[i].textContent !== text) row.children[i].textContent = text; });
    row.children[8].className = r.lost > 0 ? 'bad' : '';
    row.children[10].className = p.connected === false ? 'bad' : '';
    return row;
  });
  const keep = new Set(shown);
  for (const [name, row] of rowOf) if (!keep.has(row)) rowOf.delete(name);
  const body = $('rows');
  if (shown.length !== body.children.length || shown.some((row, i) => body.children[i] !== row)) body.replaceChildren(...shown);
  $('gone').replaceChildren(...now.gone.map((p) => {
    const row = element('tr');
    row.append(cell(p.name), cell(p.gone_s < 120 ? `${p.gone_s.toFixed(0)} s` : `${(p.gone_s / 60).toFixed(0)} min`),
      cell(short(p.tx.packets)), cell(short(p.rx.packets)), cell(causes(p)));
    return row;
  }));
}

// --- one port ---

function choose(name) {
  if (state.chosen !== name) {
    state.chosen = name;
    state.portHistory = { times: [], series: [[], [], []] };
    if (portChart) { portChart.destroy(); portChart = null; }
  }
  $('port').hidden = false;
  $('port-said').textContent = '';
  drawActions(name);
  if (state.before) drawPort(state.before, state.lastRate);
  $('port').scrollIntoView({ block: 'nearest' });
}

function drawActions(name) {
  const capture = element('button', { type: 'button', id: 'capture' }, 'Capture 10 s to pcapng');
  capture.addEventListener('click', () => {
    $('port-said').textContent = 'capturing for 10 s';
    fetch(`/api/capture?seconds=10&port=${encodeURIComponent(name)}`).then(async (reply) => {
      if (!reply.ok) throw new Error((await reply.json()).error);
      const data = await reply.blob();
      const link = element('a', { href: URL.createObjectURL(data), download: name.replace(/[^A-Za-z0-9-]/g, '_') + '.pcapng' });
      link.click();
      $('port-said').textContent = `captured: ${data.size} bytes`;
    }).catch((error) => { $('port-said').textContent = `not captured: ${error.message}`; });
  });
  const actions = [capture];
  if (state.control) {
    const toggle = element('button', { type: 'button', id: 'lossless' }, 'Lossless on/off');
    toggle.addEventListener('click', () => {
      const port = state.before.ports.find((p) => p.name === name);
      fetch('/api/set', { method: 'POST', body: JSON.stringify({ port: name, lossless: !(port && port.lossless) }) }).then(async (reply) => {
        $('port-said').textContent = reply.ok ? 'set' : `not set: ${(await reply.json()).error}`;
      });
    });
    actions.push(toggle);
  }
  $('port-actions').replaceChildren(...actions);
}

function drawPort(now, rate) {
  const at = now.ports.findIndex((p) => p.name === state.chosen);
  if (at < 0) {
    $('port-title').textContent = `${state.chosen}: gone`;
    return;
  }
  const p = now.ports[at];
  $('port-title').textContent = `${p.name} (${p.kind})`;
  const list = element('dl');
  const fact = (name, value) => { const t = element('dt'), d = element('dd'); t.textContent = name; d.textContent = value; list.append(t, d); };
  fact('state', stateOf(p));
  fact('processes', p.pids.join(', ') || 'none');
  fact('sent', `${p.tx.packets} packets, ${p.tx.bytes} bytes, ${p.tx.syncs} syncs`);
  fact('received', `${p.rx.packets} packets, ${p.rx.bytes} bytes, ${p.rx.syncs} syncs`);
  fact('rings', `tx ${p.tx.used} of ${p.tx.slots}, rx ${p.rx.used} of ${p.rx.slots} slots in use`);
  fact('sleeps', p.sleeps);
  fact('lost', causes(p) || 'nothing');
  $('port-facts').replaceChildren(list);
  const history = state.portHistory;
  push(history.times, Date.now() / 1000);
  [rate[at].tx, rate[at].rx, rate[at].lost].forEach((value, i) => push(history.series[i], value));
  if (!portChart) portChart = makeChart($('port-chart'), ['sent/s', 'received/s', 'lost/s'], ['#07c', '#0a7', '#c33']);
  if (portChart) portChart.setData([history.times, ...history.series]);
}

// --- the loop ---

function show(now) {
  const rate = rates(state.before, now);
  const sum = (key) => rate.reduce((a, r) => a + r[key], 0);
  const switches = new Set(now.ports.map((p) => p.switch).filter(Boolean));
  $('summary').textContent = `${now.ports.length} port${now.ports.length === 1 ? '' : 's'}, ${switches.size} switch${switches.size === 1 ? '' : 'es'}; sent ${short(sum('tx'))} packets/s, ${short(sum('txb'))} bit/s; lost ${short(sum('sent_lost'))}/s`;
  $('summary').className = '';
  if (state.before) {
    push(state.times, Date.now() / 1000);
    ['tx', 'rx', 'sent_lost'].forEach((key, i) => push(state.totals[i], sum(key)));
    if (chart) chart.setData([state.times, ...state.totals]);
  }
  drawTopology(now, rate);
  drawRows(now, rate);
  if (state.chosen) drawPort(now, rate);
  state.before = now;
  state.lastRate = rate;
}

async function turn() {
  try {
    const reply = await fetch('/api/live');
    const now = await reply.json();
    if (!reply.ok) throw new Error(now.error);
    show(now);
  } catch (error) {
    $('summary').textContent = error.message;
    $('summary').className = 'bad';
    state.before = null;
  }
  setTimeout(turn, kInterval);
}

$('filter').addEventListener('input', (event) => { state.filter = event.target.value; if (state.before) drawRows(state.before, state.lastRate); });
if (new URLSearchParams(location.search).has('token')) history.replaceState(null, '', '/');
chart = makeChart($('chart'), ['sent/s', 'received/s', 'lost/s'], ['#07c', '#0a7', '#c33']);
fetch('/api/rights').then((reply) => reply.json()).then((rights) => { state.control = rights.control === true; }).catch(() => {});
turn();
