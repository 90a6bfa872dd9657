'use strict';
// The page of one worker: it hears the worker's topics, shows them, and sends requests. README has
// the topics, schemas/asyncapi.yaml the whole contract.
//
// What arrives is shown as text, never as markup, and a request is never retained. In the address:
// `?instance=` chooses a Frigate, `?prefix=` where topics begin, `?broker=` another broker's ws://
// or wss:// address.

const parameters = new URLSearchParams(location.search);
const PREFIX = parameters.get('prefix') || 'frigate_replay';
const BROKER = parameters.get('broker') || new URL('mqtt', location.href).href.replace(/^http/, 'ws');
// With a wildcard the page would hear what is not below its prefix.
const PREFIX_IS_PLAIN = /^[\w.-]+(\/[\w.-]+)*$/.test(PREFIX);
const WANTED_INSTANCE = /^[\w-]+$/.test(parameters.get('instance') ?? '') ? parameters.get('instance') : null;
const TOPICS = ['available', 'info', 'session', 'job_state', 'history', 'last_response', 'response/#'];
const LOGIN_KEY = `frigate-replay login at ${BROKER}`;
// Longer than a worker takes to read a large database or to take a camera out of Frigate.
const ANSWER_PATIENCE_MS = 30_000;
const DISCOVERY_PATIENCE_MS = 3_000;

const $ = (id) => document.getElementById(id);

let client = null;
let connection = 'trying'; // trying, connected, lost, refused
let login = null; // {user, password, remember}; null for nobody
let discoveryIsOver = false;
let lastHeard = null;
let instance = WANTED_INSTANCE;
const instances = new Set();
const heard = new Map(); // from a topic's end, such as `session`, to what it holds
let asked = null; // the request that waits for its answer: {verb, transaction, problem}

// The connection.

function connect() {
  connection = 'trying';
  client?.end(true);
  client = mqtt.connect(BROKER, {
    protocolVersion: 5,
    clientId: `frigate-replay-dashboard-${randomText()}`,
    username: login?.user,
    password: login?.password,
    keepalive: 90, // A browser wakes a page in the background once a minute.
    timerVariant: 'native', // The other one needs scripts made of text, which the page forbids.
    connectTimeout: 10_000,
    reconnectPeriod: 2_000,
    resubscribe: false,
  });
  const own = client;
  const mine = (deed) => (...given) => { if (client === own) { deed(...given); show(); } };
  client.on('connect', mine(connected));
  client.on('message', mine(arrived));
  client.on('error', mine(failed));
  client.on('close', mine(() => { if (connection !== 'refused') connection = 'lost'; }));
  show();
}

// A broker may come back without what it kept, so nothing of the last connection counts any more.
function connected() {
  connection = 'connected';
  if (login?.remember) remember(login);
  heard.clear();
  instances.clear();
  discoveryIsOver = false;
  setTimeout(() => { discoveryIsOver = true; show(); }, DISCOVERY_PATIENCE_MS);
  client.subscribe(`${PREFIX}/+/info`, { qos: 1 });
  if (instance !== null) subscribe();
}

function subscribe() {
  client.subscribe(TOPICS.map((topic) => `${PREFIX}/${instance}/${topic}`), { qos: 1 });
}

function failed(error) {
  const REFUSED = [4, 5, 134, 135]; // CONNACK: bad user or password, not authorized
  if (!REFUSED.includes(error.code)) return;
  client.end(true);
  connection = 'refused';
  remember(null);
  $('login-reason').textContent = login
    ? `The broker refuses the user “${login.user}” with this password.`
    : 'The broker asks who you are. With the shipped configuration it is the user “dashboard”, whose password is in docker/secrets/dashboard.';
  const first = login ? 'password' : 'user';
  login = null;
  show();
  $(first).focus();
}

function choose(name) {
  if (instance !== null && client?.connected) {
    client.unsubscribe(TOPICS.slice(2).map((topic) => `${PREFIX}/${instance}/${topic}`));
  }
  instance = name;
  heard.clear();
  asked = null;
  const address = new URL(location.href);
  address.searchParams.set('instance', name);
  if (instances.size > 1) history.replaceState(null, '', address);
  subscribe();
}

// What arrives.

function arrived(topic, payload) {
  const [name, ...end] = topic.slice(PREFIX.length + 1).split('/');
  lastHeard = Date.now();
  if (end.join('/') === 'info') {
    if (payload.length > 0) instances.add(name); else instances.delete(name);
    if (instance === null) choose(name);
  }
  if (name !== instance) return;
  const value = end[0] === 'available' ? payload.toString() : parsed(payload);
  if (end[0] === 'response') answered(value); else heard.set(end.join('/'), value);
  if (end[0] === 'last_response' && asked && value?.transaction === asked.transaction) answered(value);
}

// What is no JSON object counts as nothing: the page shows what is right, and stays up.
function parsed(payload) {
  try {
    const value = JSON.parse(payload.toString());
    return value && typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function answered(response) {
  if (!asked || response?.transaction !== asked.transaction) return;
  clearTimeout(asked.timer);
  asked = null;
}

// What is sent.

function ask(verb, request) {
  if (whyNotAsk()) return;
  const transaction = `dashboard-${randomText()}`;
  const timer = setTimeout(() => {
    if (asked?.transaction !== transaction) return;
    asked.problem = `The worker has not answered “${verb}” within ${ANSWER_PATIENCE_MS / 1000} seconds. Its log says more; the user may also lack the right to send requests.`;
    show();
  }, ANSWER_PATIENCE_MS);
  asked = { verb, transaction, timer, problem: null };
  client.publish(
    `${PREFIX}/${instance}/request/${verb}`,
    JSON.stringify({ ...request, transaction }),
    { qos: 1, retain: false },
  );
  show();
}

function whyNotAsk() {
  if (connection !== 'connected') return 'There is no connection to the broker.';
  if (heard.get('available') !== 'online') return 'The worker is offline.';
  if (asked && !asked.problem) return 'The last request waits for its answer.';
  return '';
}

function randomText() {
  return Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// The start form: gives the request, or says what is wrong with which field.

function wantedReplay() {
  const request = {};
  const what = new FormData($('start')).get('what');
  const wrong = (id, message) => { throw Object.assign(new Error(message), { field: id }); };
  if (what === 'export') {
    request.export_id = $('export').value.trim() || wrong('export', 'Write the id of the export.');
  } else {
    request.camera = $('camera').value || wrong('camera', 'Choose a camera.');
  }
  const longest = number(heard.get('info')?.limits?.max_range_seconds) ?? Infinity;
  if (what === 'last') {
    const seconds = $('minutes').valueAsNumber * 60;
    if (!(seconds > 0)) wrong('minutes', 'Write how many minutes, such as 10.');
    if (seconds > longest) wrong('minutes', `This worker replays ${duration(longest)} at most.`);
    request.last_seconds = seconds;
  }
  if (what === 'range') {
    const [start, end] = ['from', 'to'].map((id) => new Date($(id).value).getTime() / 1000);
    if (Number.isNaN(start)) wrong('from', 'Write when the range begins.');
    if (Number.isNaN(end)) wrong('to', 'Write when the range ends.');
    if (end <= start) wrong('to', 'The end must be after the beginning.');
    if (end - start > longest) wrong('to', `This worker replays ${duration(longest)} at most.`);
    Object.assign(request, { start_time: start, end_time: end });
  }
  const overrides = $('overrides').value.trim();
  if (overrides) {
    request.overrides = parsed(overrides)
      ?? wrong('overrides', 'The overrides must be a JSON object, such as {"detect": {"fps": 5}}.');
  }
  return [what === 'export' ? 'start_from_export' : 'start', request];
}

function submitStart(event) {
  event.preventDefault();
  $('start').querySelectorAll('[aria-invalid]').forEach((field) => field.removeAttribute('aria-invalid'));
  $('start-error').textContent = '';
  if (whyNotStart(heard.get('session') ?? {})) return;
  try {
    ask(...wantedReplay());
  } catch (error) {
    if (!error.field) throw error;
    const field = $(error.field);
    $('start-error').textContent = error.message;
    field.closest('details')?.setAttribute('open', '');
    field.setAttribute('aria-invalid', 'true');
    field.focus();
  }
}

function showFields() {
  const what = new FormData($('start')).get('what');
  for (const field of document.querySelectorAll('[data-for]')) {
    field.hidden = !field.dataset.for.split(' ').includes(what);
  }
}

// Fills the form with what a past job replayed.
function again(job) {
  const isExport = typeof job.export_id === 'string';
  $(isExport ? 'what-export' : 'what-range').checked = true;
  showFields();
  if (isExport) $('export').value = job.export_id;
  $('camera').value = job.source_camera;
  $('from').value = localInput(job.start_ts);
  $('to').value = localInput(job.end_ts);
  $('start').scrollIntoView({ block: 'center' });
  $('start-button').focus();
}

// What is shown.

function show() {
  showConnection();
  $('login-card').hidden = connection !== 'refused';
  $('panels').hidden = instance === null || connection === 'refused';
  $('panels').classList.toggle('stale', connection !== 'connected');
  if (instance === null) return;
  const session = heard.get('session') ?? {};
  const job = heard.get('job_state')?.debug_replay ?? {};
  showSession(session, job);
  showForm(session);
  showAnswer();
  showFrigate(heard.get('info')?.frigate, session);
  showHistory(heard.get('history')?.jobs);
  const info = heard.get('info');
  setText('about', info ? `frigate-replay ${words(info.version)}, contract ${words(info.schema_version)}, below ${PREFIX}/${instance}` : '');
}

function showConnection() {
  const online = heard.get('available');
  const [state, text] = {
    trying: ['trying', 'Connecting…'],
    refused: ['offline', 'Not signed in'],
    lost: ['offline', 'Connection lost'],
    connected: online === 'online' ? ['online', 'Worker online']
      : online === 'offline' ? ['offline', 'Worker offline'] : ['trying', 'Connected, no worker yet'],
  }[connection];
  $('connection').dataset.state = state;
  setText('connection-text', text);
  $('sign-out').hidden = login === null || connection === 'refused';
  fill($('notices'), notices(online).map(([text, kind]) => element('p', { className: `notice ${kind}` }, text)));
  $('instance-choice').hidden = instances.size < 2;
  fill($('instance'), [...instances].sort().map((name) => element('option', { value: name }, name)));
  $('instance').value = instance ?? '';
}

function notices(online) {
  if (connection === 'lost' && lastHeard === null) {
    return [[`The broker at ${BROKER} does not answer; it is tried again.`, 'bad']];
  }
  if (connection === 'lost') {
    return [[`The connection to the broker is lost and is tried again. What you see is as of ${clock(lastHeard / 1000)}.`, 'bad']];
  }
  if (connection !== 'connected') return [];
  if (online === 'offline') {
    return [['The worker is offline. A replay that was running goes on when it is back.', 'bad']];
  }
  if (instances.size === 0 && discoveryIsOver) {
    return [[`No worker has been heard below “${PREFIX}/…”. Either none has ever been here, or this user may not read its topics.`, '']];
  }
  const error = heard.get('info')?.config_error;
  return error ? [[`The cameras are not known: ${words(error)}`, 'bad']] : [];
}

function showSession(session, job) {
  const active = session.active === true;
  setText('headline', headline(session, job));
  $('idle-hint').hidden = active;
  const working = active && ['preparing', 'starting_camera'].includes(session.phase);
  const percent = number(job.results?.progress_percent);
  $('progress-row').hidden = !working;
  if (session.phase === 'preparing' && percent !== null) $('progress').value = percent;
  else $('progress').removeAttribute('value');
  setText('percent', session.phase === 'preparing' && percent !== null ? `${Math.round(percent)} %` : '');
  showFacts(active ? facts(session) : []);
  const warnings = active && Array.isArray(session.warnings) ? session.warnings : [];
  $('warnings').hidden = warnings.length === 0;
  fill($('warning-list'), warnings.map((warning) => element('li', {}, words(warning))));
  if (!active && document.activeElement === $('stop')) $('headline').focus();
  $('stop').hidden = !active;
  setUsable('stop', whyNotAsk() === '' && session.phase !== 'stopping');
}

function headline(session, job) {
  if (session.active !== true) {
    return job.status === 'failed' ? `The last replay failed: ${words(job.error_message)}` : 'No replay is running.';
  }
  const camera = words(session.source_camera);
  return named({
    preparing: `Making the clip of ${camera}…`,
    starting_camera: `Adding the camera ${words(session.replay_camera)}…`,
    live: `${camera} is live as ${words(session.replay_camera)}.`,
    stopping: `Taking ${words(session.replay_camera)} away…`,
  }, session.phase);
}

function facts(session) {
  const facts = [
    ['Range', range(session.start_time, session.end_time)],
    ['Stops itself', clock(session.auto_stop_at)],
    ['Settings', settings(session)],
    ['In Frigate', named(LINK, session.link)],
  ];
  const footage = number(session.footage_seconds);
  if (footage !== null) {
    const gaps = number(session.gaps);
    facts.splice(1, 0, ['Video', `${duration(footage)}${gaps ? `, ${gaps} ${gaps === 1 ? 'gap' : 'gaps'} skipped` : ''}`]);
  }
  return facts;
}

function settings(session) {
  const source = named({ config_file: 'as in config.yml', frigate: 'as the running Frigate has them' }, session.settings_source);
  return session.overridden === true ? `${source}, with overrides` : source;
}

const LINK = {
  off: 'published on MQTT only',
  unreachable: 'Frigate does not answer; it is tried again',
  waiting: 'not there yet',
  adding: 'there, without a picture yet',
  added: 'there',
  taking_out: 'is being taken out',
  taken_out: 'out',
};

function showFacts(facts) {
  fill($('facts'), facts.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]));
}

function showForm(session) {
  const cameras = heard.get('info')?.cameras;
  const names = Array.isArray(cameras) ? cameras.map(words) : [];
  fill($('camera'), names.map((name) => element('option', { value: name }, name)));
  const why = whyNotStart(session);
  setUsable('start-button', why === '');
  setText('start-hint', why);
}

function whyNotStart(session) {
  return session.active === true ? 'A replay is running; stop it first.' : whyNotAsk();
}

function showAnswer() {
  const response = heard.get('last_response');
  const lines = [];
  if (asked) {
    lines.push(element('p', { className: asked.problem ? 'failed' : '' }, asked.problem ?? `“${asked.verb}” was sent; the answer is awaited.`));
  } else if (response) {
    const ok = response.status === 'ok';
    lines.push(element('p', {},
      element('span', { className: ok ? 'ok' : 'failed' }, ok ? 'Done' : 'Refused'),
      `: ${words(response.verb)}, ${clock(response.ts)}`));
    if (!ok) lines.push(element('p', {}, words(response.error?.message)));
    for (const warning of Array.isArray(response.data?.warnings) ? response.data.warnings : []) {
      lines.push(element('p', { className: 'hint' }, words(warning)));
    }
    lines.push(element('details', {}, element('summary', {}, 'As it arrived'),
      element('pre', { tabIndex: 0 }, JSON.stringify(response, null, 2))));
  } else {
    lines.push(element('p', { className: 'hint' }, 'Nothing has been asked yet.'));
  }
  fill($('answer'), lines);
}

function showFrigate(frigate, session) {
  const lines = [];
  if (!frigate) {
    lines.push('Replay cameras are published on MQTT. The worker has no address of Frigate, so it adds none there.');
  } else if (frigate.reachable === true) {
    lines.push(`Frigate ${words(frigate.version)} answers at ${words(frigate.url)}.`);
    lines.push(frigate.applies_cameras === true ? 'Replay cameras are added to it.' : 'Replay cameras are not added to it.');
  } else {
    lines.push(frigate.reachable === false ? `Frigate does not answer at ${words(frigate.url)}.` : `Frigate at ${words(frigate.url)} has not been asked yet.`);
  }
  if (frigate && session.active === true) lines.push(`${words(session.replay_camera)}: ${named(LINK, session.link)}.`);
  if (frigate?.error) lines.push(`The last error: ${words(frigate.error)}`);
  if (Array.isArray(frigate?.left_over) && frigate.left_over.length > 0) {
    lines.push(`Still to be taken out: ${frigate.left_over.map(words).join(', ')}.`);
  }
  fill($('frigate'), lines.map((line) => element('p', {}, line)));
}

function showHistory(jobs) {
  const rows = Array.isArray(jobs) ? jobs.filter((job) => job && typeof job === 'object') : [];
  $('no-history').hidden = rows.length > 0;
  $('history').hidden = rows.length === 0;
  // The roles are those of a table anyway, but for browsers that forget them where a phone's rows
  // are no rows to the eye.
  fill($('history-rows'), rows.map((job) => element('tr', { role: 'row' },
    cell(clock(job.ended_at)),
    cell(words(job.source_camera)),
    cell(job.export_id ? `export ${words(job.export_id)}` : range(job.start_ts, job.end_ts)),
    cell(outcome(job)),
    cell(element('button', {
      type: 'button',
      className: 'quiet',
      ariaLabel: `Again: ${words(job.source_camera)}, ${range(job.start_ts, job.end_ts)}`,
      onclick: () => again(job),
    }, 'Again')))));
}

function outcome(job) {
  const reason = named({ stopped: 'Stopped', timed_out: 'Stopped itself', failed: 'Failed', stale: 'Left over' }, job.reason);
  const text = job.status === 'cancelled' ? `${reason} before it was live` : reason;
  return job.error_message ? `${text}: ${words(job.error_message)}` : text;
}

// Elements, texts, times.

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function cell(content) {
  return element('td', { role: 'cell' }, content);
}

// Replaces what a parent holds only if it changed, so that focus and open details stay where they
// are and a screen reader hears what is new.
function fill(parent, children) {
  const html = element('div', {}, ...children).innerHTML;
  if (parent.shown === html) return;
  parent.shown = html;
  const value = parent.value;
  parent.replaceChildren(...children);
  if (parent.tagName === 'SELECT' && [...parent.options].some((option) => option.value === value)) parent.value = value;
}

function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

// Not `disabled`: a button that the keyboard stands on must not lose it.
function setUsable(id, usable) {
  $(id).setAttribute('aria-disabled', String(!usable));
}

// Any value as a text for a person.
function words(value) {
  if (value === null || value === undefined || value === '') return '—';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

// What a word of the contract is called here; one that is not known yet stays as it is.
function named(names, word) {
  return Object.hasOwn(names, word) ? names[word] : words(word);
}

function number(value) {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function date(seconds) {
  const made = new Date(number(seconds) === null ? NaN : seconds * 1000);
  return Number.isNaN(made.getTime()) ? null : made;
}

// A local time, with its day unless that is today.
function clock(seconds) {
  const time = date(seconds);
  if (!time) return '—';
  const today = time.toDateString() === new Date().toDateString();
  return time.toLocaleString(undefined, today ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'medium' });
}

function range(start, end) {
  const [first, last] = [date(start), date(end)];
  if (!first || !last) return '—';
  const sameDay = first.toDateString() === last.toDateString();
  const end_ = sameDay ? last.toLocaleTimeString(undefined, { timeStyle: 'medium' }) : clock(end);
  return `${clock(start)} to ${end_} (${duration(end - start)})`;
}

function duration(seconds) {
  const whole = Math.round(seconds);
  const parts = [[Math.floor(whole / 3600), 'h'], [Math.floor(whole / 60) % 60, 'min'], [whole % 60, 's']];
  return parts.filter(([count]) => count > 0).map((part) => part.join(' ')).join(' ') || '0 s';
}

// A time as the value of a field for local date and time.
function localInput(seconds) {
  const time = date(seconds);
  if (!time) return '';
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

// The beginning.

function submitLogin(event) {
  event.preventDefault();
  login = { user: $('user').value, password: $('password').value, remember: $('remember').checked };
  $('password').value = '';
  connect();
}

// `null` forgets. A browser may keep nothing for pages.
function remember(login) {
  try {
    if (login) localStorage.setItem(LOGIN_KEY, JSON.stringify(login));
    else localStorage.removeItem(LOGIN_KEY);
  } catch { /* then it is asked again the next time */ }
}

function remembered() {
  try {
    return parsed(localStorage.getItem(LOGIN_KEY) ?? '');
  } catch {
    return null;
  }
}

function signOut() {
  remember(null);
  login = null;
  client?.end(true);
  heard.clear();
  instances.clear();
  instance = WANTED_INSTANCE;
  connection = 'refused';
  $('login-reason').textContent = 'You are signed out.';
  show();
  $('user').focus();
}

function begin() {
  $('broker').textContent = BROKER;
  $('login').addEventListener('submit', submitLogin);
  $('sign-out').addEventListener('click', signOut);
  $('start').addEventListener('submit', submitStart);
  $('start').addEventListener('change', showFields);
  $('stop').addEventListener('click', () => ask('stop', {}));
  $('instance').addEventListener('change', () => { choose($('instance').value); show(); });
  const now = Date.now() / 1000;
  $('from').value = localInput(now - 600);
  $('to').value = localInput(now);
  showFields();
  if (!PREFIX_IS_PLAIN) {
    fill($('notices'), [element('p', { className: 'notice bad' }, `“${PREFIX}” is no prefix of topics: levels of letters, digits, _ - and . are, joined by /.`)]);
    return;
  }
  login = remembered();
  connect();
}

begin();
