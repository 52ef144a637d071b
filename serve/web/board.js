/* The wallboard: which tiles there are, how fresh they are, and that they are drawn. */
(function (ns) {
  'use strict';

  var html = ns.html, $ = function (id) { return document.getElementById(id); };
  var page = document.querySelector('meta[name=millstream-page]').content;
  var state = { name: '', board: null, tiles: [], client: null, fmt: new ns.Format(), zone: '', offlineSince: 0, paused: false, said: '', spokeAt: -Infinity };

  function store(key, value) {
    try {
      if (value === undefined) return JSON.parse(localStorage.getItem('millstream:' + key));
      if (value === null) localStorage.removeItem('millstream:' + key);
      else localStorage.setItem('millstream:' + key, JSON.stringify(value));
    } catch (e) { return null; }
    return null;
  }

  function token() { return store('token') || ''; }

  function get(path) {
    var headers = token() ? { Authorization: 'Bearer ' + token() } : {};
    return fetch(path, { headers: headers, cache: 'no-store' }).then(function (r) {
      return r.json().then(function (body) {
        if (r.ok) return body;
        var e = new Error(body.message || String(r.status));
        e.status = r.status;
        throw e;
      });
    });
  }

  /* ---- what to show ---- */

  function begin() {
    var m = location.pathname.match(/^\/b\/([^/]+)/), saved;
    theme(store('theme') || 'dark');
    clock();
    if (m) { open(decodeURIComponent(m[1])); return; }
    get('/v1/boards').then(function (list) {
      if (list.boards.length === 1 && list.boards[0].tiles) open(list.boards[0].name);
      else index(list);
    }).catch(function (e) {
      if (e.status === 401) { askToken(); return; }
      saved = store('only');
      if (saved) open(saved);
      else { notice('No answer from the server. Trying again …'); setTimeout(begin, 3000 + Math.random() * 4000); }
    });
  }

  /* open shows a board; without the server, the one that was seen last. */
  function open(name) {
    state.name = name;
    get('/v1/boards/' + encodeURIComponent(name)).then(function (board) {
      store('only', name);
      build(board);
    }).catch(function (e) {
      var saved = store('board:' + name);
      if (e.status === 401) askToken();
      else if (e.status) { notice(e.message); setTimeout(function () { open(name); }, 10000); }
      else if (saved) build(saved.board);
      else { notice('No answer from the server. Trying again …'); setTimeout(function () { open(name); }, 3000 + Math.random() * 4000); }
    });
  }

  function notice(text) {
    var main = $('main');
    main.className = '';
    main.textContent = '';
    main.appendChild(html('p', 'notice', text));
  }

  function index(list) {
    var main = $('main');
    state.client = null;
    document.body.dataset.state = 'index';
    $('word').textContent = list.boards.length ? list.boards.length + ' BOARDS' : 'NO BOARDS YET';
    main.className = 'grid index';
    main.textContent = '';
    list.boards.forEach(function (b) {
      var a = html('a', 'card');
      a.href = '/b/' + encodeURIComponent(b.name);
      a.appendChild(html('h2', '', b.title));
      a.appendChild(html('p', '', b.tiles + ' tiles'));
      if (b.error) a.appendChild(html('p', 'broken', b.error));
      main.appendChild(a);
    });
    if (list.boards.length) return;
    main.appendChild(html('h2', '', 'A board is a file'));
    main.appendChild(html('p', '', 'Put this into ' + list.folder + 'shop.yaml and wait five seconds. /v1/metrics lists the metrics that there are.'));
    main.appendChild(html('pre', '', 'version: 1\ntitle: Shop\ntiles:\n  - {number: orders, title: Orders today, spark: 15m, size: 3x2}\n  - {line: orders, by: plan, size: 3x2}'));
    setTimeout(begin, 5000);
  }

  function askToken() {
    var main = $('main'), form = html('form', 'ask'), input = html('input'), label = html('label', '', 'This server asks for a token.');
    main.className = '';
    main.textContent = '';
    document.body.dataset.state = 'stopped';
    $('word').textContent = 'TOKEN NEEDED';
    input.type = 'password';
    input.id = 'token';
    input.autocomplete = 'off';
    label.htmlFor = 'token';
    form.appendChild(label);
    form.appendChild(input);
    form.appendChild(html('button', '', 'Open'));
    form.addEventListener('submit', function (e) { e.preventDefault(); store('token', input.value.trim()); location.reload(); });
    main.appendChild(form);
    input.focus();
  }

  function build(board) {
    var main = $('main'), kept = store('board:' + state.name), saved = {};
    if (kept && kept.subs) kept.subs.forEach(function (s) { saved[s.key] = s; });
    state.board = board;
    state.fmt = new ns.Format(board.locale);
    if (!store('theme')) theme(board.theme);
    $('name').textContent = board.title;
    document.title = board.title + ' · Millstream';
    main.className = 'grid';
    main.textContent = '';
    main.style.gridTemplateColumns = 'repeat(' + board.columns + ', minmax(0, 1fr))';
    if (state.client) state.client.stop();
    state.client = new ns.Client({
      url: location.origin.replace(/^http/, 'ws') + '/v1/ws', page: page, token: token,
      onchange: changed, onstate: moved, onpage: renew
    });
    state.tiles = board.tiles.map(function (t, i) { return tile(t, i, saved); });
    state.tiles.forEach(function (t) { main.appendChild(t.box); });
    state.zone = (board.tz || firstZone()) || '';
    $('zone').textContent = state.zone;
    if (kept && kept.wm && !state.client.tick) state.keptWM = kept.wm;
    if (board.error) speak('The board file is broken; its last good version is shown.');
    state.client.start();
    mark();
    redraw();
  }

  function firstZone() {
    for (var i = 0; i < state.tiles.length; i++) {
      var s = state.tiles[i].subs[0];
      if (s) return s.view.tz;
    }
    return '';
  }

  function tile(t, i, saved) {
    var box = html('figure', 'tile'), cap = html('figcaption', 'cap'), title = html('h2', '', t.title), it;
    box.tabIndex = 0;
    box.style.gridColumn = 'span ' + t.size.w;
    box.style.gridRow = 'span ' + t.size.h;
    if (t.kind === 'number') box.classList.add('small');
    title.id = 't' + i;
    box.setAttribute('aria-labelledby', title.id);
    it = { def: t, box: box, body: html('div', 'body'), badge: html('span', 'badge'), verdict: html('span', 'verdict'), told: html('p', 'quiet'), subs: [], dirty: true, seen: '', error: '' };
    cap.appendChild(title);
    cap.appendChild(it.verdict);
    cap.appendChild(it.badge);
    box.appendChild(cap);
    box.appendChild(it.body);
    if (t.note) box.appendChild(html('p', 'note', t.note));
    box.appendChild(it.told);
    t.views.forEach(function (v) {
      if (v.error) { it.error = v.error.message; return; }
      var sub = state.client.ask(v.view, t.every, saved[JSON.stringify(v.view)]);
      it.subs.push(sub);
    });
    return it;
  }

  /* ---- drawing ---- */

  var frame = 0, drawnAt = 0;

  function changed(sub) {
    if (sub) state.tiles.forEach(function (t) { if (t.subs.indexOf(sub) >= 0) t.dirty = true; });
    mark();
    schedule();
  }

  /* schedule draws at most four times a second, and not while nobody can see it. */
  function schedule() {
    if (frame || document.hidden || state.paused) return;
    frame = setTimeout(function () {
      requestAnimationFrame(function () { frame = 0; drawnAt = performance.now(); redraw(); });
    }, Math.max(0, 250 - (performance.now() - drawnAt)));
  }

  function redraw() {
    state.tiles.forEach(function (t) {
      if (!t.dirty) return;
      t.dirty = false;
      show(t);
    });
  }

  function show(t) {
    var sub = t.subs[0], error = t.error || (sub && sub.error ? sub.error.message : ''), old = t.body, body;
    if (!sub && !error) return;
    if (error) {
      old.textContent = '';
      old.appendChild(html('p', 'trouble', error));
      return;
    }
    if (!sub.cols.length) return;
    body = html('div', 'body');
    t.box.replaceChild(body, old);
    t.body = body;
    var said = ns.draw[t.def.kind](body, t.def, t.subs, state.fmt, state.zone || sub.view.tz, state.client.now(), watermark());
    if (t.def.kind === 'line' || t.def.kind === 'bar') body.appendChild(ns.listing(sub));
    t.told.textContent = said;
    badges(t, sub);
    flash(t, sub);
  }

  function badges(t, sub) {
    var m = sub.meta, list = [];
    if (m.revision > 1) list.push('revised r' + m.revision);
    if (m.method === 'hll15') list.push('≈');
    t.badge.textContent = list.join(' · ');
    var row = t.def.kind === 'number' ? ns.rowsOf(sub).list[0] : null, is = '', text = '';
    (t.def.thresholds || []).some(function (th) {
      if (!row || row.value === null) return false;
      var v = Number(row.value);
      if (th.below !== undefined ? v < th.below : v > th.above) { is = th.is; text = th.text; return true; }
      return false;
    });
    ['good', 'warn', 'bad'].forEach(function (c) { t.box.classList.toggle(c, c === is); });
    text = is ? ({ good: '✓ ', warn: '! ', bad: '✕ ' })[is] + text : '';
    if (t.verdict.textContent !== text) {
      if (t.seen && text) speak(t.def.title + ': ' + text);
      t.verdict.textContent = text;
    }
  }

  function flash(t, sub) {
    if (t.def.kind !== 'number') return;
    var row = ns.rowsOf(sub).list[0], v = row ? String(row.value) : '';
    if (t.seen && v !== t.seen) {
      t.box.classList.remove('flash');
      void t.box.offsetWidth;
      t.box.classList.add('flash');
    }
    t.seen = v;
  }

  /* ---- freshness ---- */

  function watermark() {
    var tick = state.client && state.client.tick;
    return tick && tick.wm ? tick.wm : state.keptWM || 0;
  }

  function moved(to, why) {
    if (to === 'stopped' && why !== 'closed') state.stopped = why;
    if (to === 'welcome' || to === 'syncing') state.stopped = '';
    mark();
  }

  /* mark says how fresh the board is, by the page's own clock: a device that slept or lies cannot look live. */
  function mark() {
    var c = state.client, fmt = state.fmt, wm, word, asof = '', is;
    if (!c || !state.board) return;
    wm = watermark();
    if (c.state === 'stopped' && state.stopped) {
      is = 'stopped'; word = 'STOPPED'; asof = state.stopped;
    } else if ((c.state !== 'online' && c.state !== 'syncing' && c.state !== 'connecting') || c.silent()) {
      is = 'offline'; word = 'OFFLINE';
      if (c.lastFrame > -Infinity) state.offlineSince = Date.now() - (performance.now() - c.lastFrame);
      if (c.lastFrame === -Infinity && performance.now() < 3000) { is = 'connecting'; word = 'CONNECTING'; }
      asof = (state.offlineSince ? 'since ' + fmt.time(state.offlineSince, state.zone) : '') +
        (wm ? ' · data of ' + fmt.time(wm, state.zone, true) + ', ' + fmt.since(Date.now() - wm) + ' old' : '');
    } else if (!wm) {
      is = 'waiting'; word = 'READY'; asof = 'waiting for the first event';
    } else if (c.now() - wm >= 60000) {
      is = 'delayed'; word = 'DELAYED'; asof = 'data as of ' + fmt.time(wm, state.zone, true);
    } else {
      is = 'live'; word = 'LIVE'; asof = 'as of ' + fmt.time(wm, state.zone, true);
    }
    if (document.body.dataset.state !== is) { document.body.dataset.state = is; speak(word.toLowerCase()); }
    if ($('word').textContent !== word) $('word').textContent = word;
    if ($('asof').textContent !== asof) $('asof').textContent = asof;
  }

  function clock() {
    $('clock').textContent = state.fmt.time(state.client ? state.client.now() : Date.now(), state.zone);
    mark();
    setTimeout(clock, 1000 - Date.now() % 1000);
  }

  /* speak tells those who listen, and not all the time. */
  function speak(text) {
    if (text === state.said || performance.now() - state.spokeAt < 30000 && state.spokeAt > 0) return;
    state.said = text;
    state.spokeAt = performance.now();
    $('speak').textContent = text;
  }

  /* ---- staying for years ---- */

  function keep() {
    var c = state.client;
    if (!c || !state.board) return;
    var data = { board: state.board, subs: c.keep(), wm: watermark() };
    if (JSON.stringify(data).length < 1 << 20) store('board:' + state.name, data);
  }

  /* renew loads the page anew when the server has another one, and never without having reached it: an error page
     would replace a board that can be read. */
  function renew(hash) {
    try {
      if (sessionStorage.getItem('millstream:renewed') === hash + page) return;
      sessionStorage.setItem('millstream:renewed', hash + page);
    } catch (e) { return; }
    Promise.all([fetch('/health', { cache: 'no-store' }), fetch(location.pathname, { cache: 'no-store' })]).then(function (rs) {
      if (rs[0].ok && rs[1].ok) { keep(); location.reload(); }
    }).catch(function () { });
  }

  /* look takes over an edited board file. */
  function look() {
    var c = state.client;
    if (!c || c.state !== 'online' || !state.name) return;
    get('/v1/boards/' + encodeURIComponent(state.name)).then(function (board) {
      if (state.board && board.hash !== state.board.hash) { keep(); build(board); }
    }).catch(function () { });
  }

  function theme(name) {
    if (name === 'auto') name = window.matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
    document.documentElement.dataset.theme = name;
  }

  function awake() {
    if (navigator.wakeLock && !document.hidden) navigator.wakeLock.request('screen').catch(function () { });
  }

  document.addEventListener('keydown', function (e) {
    if (e.target.tagName === 'INPUT' || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === 'f') {
      if (document.fullscreenElement) document.exitFullscreen();
      else if (document.documentElement.requestFullscreen) document.documentElement.requestFullscreen();
    } else if (e.key === 't') {
      var next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
      store('theme', next);
      theme(next);
    } else if (e.key === ' ') {
      e.preventDefault();
      state.paused = !state.paused;
      $('zone').textContent = state.paused ? 'paused' : state.zone;
      if (!state.paused) schedule();
    }
    if (state.client) state.client.hurry();
  });

  var still = 0;
  document.addEventListener('mousemove', function () {
    document.body.classList.remove('still');
    clearTimeout(still);
    still = setTimeout(function () { document.body.classList.add('still'); }, 5000);
  });

  window.addEventListener('resize', function () { state.tiles.forEach(function (t) { t.dirty = true; }); schedule(); });
  window.addEventListener('pagehide', keep);
  document.addEventListener('visibilitychange', function () { awake(); schedule(); });
  setInterval(keep, 10000);
  setInterval(look, 30000);
  setInterval(function () { state.tiles.forEach(function (t) { if (t.def.kind === 'line') t.dirty = true; }); schedule(); }, 15000);
  setInterval(function () { /* a still picture burns in */
    $('main').style.transform = 'translate(' + (Math.random() * 4 - 2).toFixed(1) + 'px,' + (Math.random() * 4 - 2).toFixed(1) + 'px)';
  }, 600000);

  awake();
  begin();
})(window.Millstream = window.Millstream || {});
