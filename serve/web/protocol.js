/* The client of millstream.v1: keeps a table for each question equal to the server's, for ever. */
(function (ns) {
  'use strict';

  var SILENCE = 15000, CONNECT = 10000, BACK_MIN = 500, BACK_MAX = 30000;

  function Client(options) {
    this.url = options.url;
    this.page = options.page;
    this.token = options.token || function () { return ''; };
    this.onchange = options.onchange;
    this.onstate = options.onstate;
    this.onpage = options.onpage;
    this.subs = [];
    this.byStream = {};
    this.state = 'connecting';
    this.why = '';
    this.tries = 0;
    this.lastFrame = -Infinity;
    this.tick = null;
    this.tickAt = 0;
    this.socket = null;
    this.timer = 0;
  }

  /* ask registers a question; saved is what an earlier run of the page had. */
  Client.prototype.ask = function (view, every, saved) {
    var key = JSON.stringify(view);
    for (var i = 0; i < this.subs.length; i++) if (this.subs[i].key === key) return this.subs[i];
    var sub = {
      id: this.subs.length + 1, key: key, view: view, every: every || 250, stream: '', current: false, error: null,
      keys: 0, cols: [], meta: {}, rows: new Map(), e: '', q: 0, h: ''
    };
    if (saved) restore(sub, saved);
    this.subs.push(sub);
    if (this.state === 'online' || this.state === 'syncing') this.subscribe(sub, false);
    return sub;
  };

  function restore(sub, saved) {
    sub.keys = saved.keys; sub.cols = saved.cols; sub.meta = saved.meta;
    sub.e = saved.e; sub.q = saved.q; sub.h = saved.h;
    saved.rows.forEach(function (row) { sub.rows.set(JSON.stringify(row.slice(0, sub.keys)), row); });
  }

  Client.prototype.start = function () {
    var self = this;
    window.addEventListener('online', function () { self.hurry(); });
    document.addEventListener('visibilitychange', function () { if (!document.hidden) { self.watch(); self.hurry(); } });
    setInterval(function () { self.watch(); }, 1000);
    this.connect();
  };

  Client.prototype.stop = function () {
    this.set('stopped', 'closed');
    if (this.socket) this.socket.close();
  };

  Client.prototype.set = function (state, why) {
    if (this.state === state && this.why === (why || '')) return;
    this.state = state;
    this.why = why || '';
    this.onstate(state, this.why);
  };

  Client.prototype.connect = function () {
    var self = this;
    clearTimeout(this.timer);
    this.set('connecting');
    var ws;
    try {
      ws = new WebSocket(this.url, 'millstream.v1');
    } catch (e) {
      this.back(1006);
      return;
    }
    this.socket = ws;
    this.byStream = {};
    this.timer = setTimeout(function () { ws.close(); self.ended(ws, 1006, ''); }, CONNECT);
    ws.onopen = function () {
      ws.send(JSON.stringify({ op: 'hello', v: 1, token: self.token(), page: self.page }));
    };
    ws.onmessage = function (m) {
      if (ws !== self.socket) return;
      self.lastFrame = performance.now();
      self.take(JSON.parse(m.data));
    };
    ws.onclose = function (e) { self.ended(ws, e.code, e.reason); };
  };

  Client.prototype.ended = function (ws, code, reason) {
    if (ws !== this.socket) return;
    this.socket = null;
    this.subs.forEach(function (s) { s.current = false; });
    if (code >= 4500) {
      if (code === 4504) this.onpage('');
      this.set('stopped', reason || 'refused');
      var self = this;
      clearTimeout(this.timer);
      this.timer = setTimeout(function () { self.connect(); }, 300000);
      return;
    }
    this.back(code);
  };

  /* back waits with full jitter: screens that were cut together must not return together. */
  Client.prototype.back = function (code) {
    var self = this;
    var low = code >= 4001 && code <= 4499 && code !== 4002 ? 5000 : BACK_MIN;
    var high = Math.min(BACK_MAX, Math.max(low, BACK_MIN * Math.pow(2, this.tries + 1)));
    var wait = low + Math.random() * (high - low);
    if (this.byeWindow) {
      wait = this.byeWindow[0] + Math.random() * (this.byeWindow[1] - this.byeWindow[0]);
      this.byeWindow = null;
    }
    this.tries++;
    this.set('backoff', String(code));
    clearTimeout(this.timer);
    this.timer = setTimeout(function () { self.connect(); }, wait);
  };

  /* hurry tries at once: the network is back, the device is awake, somebody pressed a key. */
  Client.prototype.hurry = function () {
    if (this.state === 'backoff' || this.state === 'stopped') { this.tries = 0; this.connect(); }
  };

  Client.prototype.watch = function () {
    var ws = this.socket;
    if (ws && (this.state === 'online' || this.state === 'syncing') && this.silent()) {
      ws.close();
      this.ended(ws, 1006, 'silence');
    }
  };

  Client.prototype.silent = function () { return performance.now() - this.lastFrame > SILENCE; };

  /* now is the server's time as far as ticks tell it, by a clock that cannot be set. */
  Client.prototype.now = function () {
    return this.tick ? this.tick.now + (performance.now() - this.tickAt) : Date.now();
  };

  Client.prototype.subscribe = function (sub, resync) {
    var m = { op: 'sub', id: sub.id, view: sub.view, every: sub.every };
    if (resync) m.resync = true;
    else if (sub.q) m.have = { e: sub.e, q: sub.q, h: sub.h };
    this.socket.send(JSON.stringify(m));
  };

  Client.prototype.take = function (f) {
    var sub = f.s ? this.byStream[f.s] : null, self = this;
    switch (f.op) {
    case 'welcome':
      clearTimeout(this.timer);
      this.tries = 0;
      this.tick = this.tick || { now: f.now, wm: null, lag: null };
      this.tick.now = f.now;
      this.tickAt = performance.now();
      this.set('syncing');
      this.subs.forEach(function (s) { self.subscribe(s, false); });
      if (f.page !== this.page) this.onpage(f.page);
      this.synced();
      break;
    case 'subbed':
      this.subs.forEach(function (s) { if (s.id === f.id) { s.stream = f.s; s.error = null; self.byStream[f.s] = s; } });
      break;
    case 'snap':
      if (!sub) break;
      sub.rows = new Map();
      sub.keys = f.keys; sub.cols = f.cols; sub.meta = f.meta;
      f.rows.forEach(function (row) { sub.rows.set(JSON.stringify(row.slice(0, f.keys)), row); });
      sub.e = f.e; sub.q = f.q; sub.h = f.h;
      this.fresh(sub);
      break;
    case 'd':
      if (!sub) break;
      if (f.p !== sub.q) { this.subscribe(sub, true); break; }
      (f.set || []).forEach(function (row) { sub.rows.set(JSON.stringify(row.slice(0, sub.keys)), row); });
      (f.del || []).forEach(function (key) { sub.rows.delete(JSON.stringify(key)); });
      for (var name in f.meta || {}) { if (f.meta[name] === null) delete sub.meta[name]; else sub.meta[name] = f.meta[name]; }
      sub.q = f.q; sub.h = f.h;
      this.fresh(sub);
      break;
    case 'ok':
      if (!sub) break;
      sub.e = f.e; sub.q = f.q; sub.h = f.h;
      this.fresh(sub);
      break;
    case 'tick':
      this.tick = f;
      this.tickAt = performance.now();
      this.onchange(null);
      break;
    case 'err':
      this.subs.forEach(function (s) {
        if (s.id !== f.id) return;
        s.error = f;
        self.fresh(s);
        if (f.retry) setTimeout(function () { if (s.error === f && self.socket && self.state === 'online') self.subscribe(s, false); }, 5000 + Math.random() * 5000);
      });
      break;
    case 'bye':
      this.byeWindow = f.retry_ms;
      this.socket.close();
      break;
    }
  };

  Client.prototype.fresh = function (sub) {
    sub.current = true;
    this.onchange(sub);
    this.synced();
  };

  Client.prototype.synced = function () {
    if (this.state === 'syncing' && this.subs.every(function (s) { return s.current; })) this.set('online');
  };

  /* keep returns what a later run of the page resumes from. */
  Client.prototype.keep = function () {
    return this.subs.filter(function (s) { return s.q; }).map(function (s) {
      return { key: s.key, keys: s.keys, cols: s.cols, meta: s.meta, e: s.e, q: s.q, h: s.h, rows: Array.from(s.rows.values()) };
    });
  };

  ns.Client = Client;
})(window.Millstream = window.Millstream || {});
