/* How a tile looks: plain SVG and HTML, sized from the tile's own box. */
(function (ns) {
  'use strict';

  var SVG = 'http://www.w3.org/2000/svg';

  function svg(name, attrs, text) {
    var e = document.createElementNS(SVG, name);
    for (var k in attrs || {}) e.setAttribute(k, attrs[k]);
    if (text !== undefined) e.textContent = text;
    return e;
  }

  function html(name, cls, text) {
    var e = document.createElement(name);
    if (cls) e.className = cls;
    if (text !== undefined) e.textContent = text;
    return e;
  }

  var pen = document.createElement('canvas').getContext('2d');
  function width(text, size, weight) {
    pen.font = (weight || 500) + ' 100px ' + getComputedStyle(document.body).fontFamily;
    return pen.measureText(text).width * size / 100;
  }

  /* Colours stay with a value wherever it is shown. */
  var taken = {};
  function colour(dim, value) {
    if (value === '__other__') return 'var(--rest)';
    var d = taken[dim] || (taken[dim] = { n: 0, of: {} });
    if (d.of[value] === undefined) d.of[value] = d.n++;
    return 'var(--c' + d.of[value] % 8 + ')';
  }

  function unit() { return window.innerWidth <= 720 ? 7 : window.innerHeight / 100 * (window.innerWidth < window.innerHeight ? .72 : 1); }

  /* ticks returns round numbers from lo to hi, about n of them. */
  function ticks(lo, hi, n, whole) {
    var raw = (hi - lo) / n || 1, p = Math.pow(10, Math.floor(Math.log(raw) / Math.LN10)), step = p;
    [1, 2, 2.5, 5, 10].some(function (m) { step = m * p; return step >= raw; });
    if (whole && step < 1) step = 1;
    var out = [];
    for (var v = Math.ceil(lo / step) * step; v <= hi + step * 1e-9; v += step) out.push(Math.abs(v) < step * 1e-9 ? 0 : v);
    return out;
  }

  /* curve is monotone between its points, so it never shows a value that was not there. */
  function curve(pts) {
    var n = pts.length, d = '', i;
    if (!n) return d;
    d = 'M' + pts[0][0].toFixed(1) + ',' + pts[0][1].toFixed(1);
    if (n < 3) {
      for (i = 1; i < n; i++) d += 'L' + pts[i][0].toFixed(1) + ',' + pts[i][1].toFixed(1);
      return d;
    }
    var s = [], m = [];
    for (i = 0; i < n - 1; i++) s.push((pts[i + 1][1] - pts[i][1]) / (pts[i + 1][0] - pts[i][0] || 1));
    for (i = 0; i < n; i++) {
      if (i === 0) m.push(s[0]);
      else if (i === n - 1) m.push(s[n - 2]);
      else m.push(s[i - 1] * s[i] <= 0 ? 0 : 2 * s[i - 1] * s[i] / (s[i - 1] + s[i]));
    }
    for (i = 0; i < n - 1; i++) {
      var h = (pts[i + 1][0] - pts[i][0]) / 3;
      d += 'C' + (pts[i][0] + h).toFixed(1) + ',' + (pts[i][1] + m[i] * h).toFixed(1) + ' ' +
        (pts[i + 1][0] - h).toFixed(1) + ',' + (pts[i + 1][1] - m[i + 1] * h).toFixed(1) + ' ' +
        pts[i + 1][0].toFixed(1) + ',' + pts[i + 1][1].toFixed(1);
    }
    return d;
  }

  var gradients = 0;
  function fade(root, col, top) {
    var id = 'g' + (++gradients), g = svg('linearGradient', { id: id, x1: 0, y1: 0, x2: 0, y2: 1 });
    g.appendChild(svg('stop', { offset: 0, 'stop-color': col, 'stop-opacity': top }));
    g.appendChild(svg('stop', { offset: 1, 'stop-color': col, 'stop-opacity': 0 }));
    var defs = svg('defs');
    defs.appendChild(g);
    root.appendChild(defs);
    return 'url(#' + id + ')';
  }

  function canvas(box, w, h) {
    var root = svg('svg', { width: w, height: h, viewBox: '0 0 ' + w + ' ' + h, 'aria-hidden': 'true' });
    box.appendChild(root);
    return root;
  }

  /* table reads a subscription's rows: columns by name. */
  function rowsOf(sub) {
    var at = {}, out = [];
    sub.cols.forEach(function (c, i) { at[c] = i; });
    var dims = sub.cols.slice(0, sub.keys).filter(function (c) { return c !== 'time'; });
    sub.rows.forEach(function (r) {
      out.push({
        time: at.time === undefined ? 0 : Date.parse(r[at.time]), name: dims.map(function (d) { return r[at[d]]; }),
        value: r[at.value], base: at.base === undefined ? null : r[at.base]
      });
    });
    return { dims: dims, list: out };
  }

  function num(v) { return v === null || v === undefined ? null : Number(v); }

  function byValue(a, b) {
    var ra = a.name.indexOf('__other__') >= 0, rb = b.name.indexOf('__other__') >= 0;
    if (ra !== rb) return ra ? 1 : -1;
    return (num(b.value) || 0) - (num(a.value) || 0) || (a.name.join() < b.name.join() ? -1 : 1);
  }

  function change(row, tile, fmt) {
    if (!row || row.base === null || row.base === undefined || row.value === null) return null;
    var v = num(row.value), b = num(row.base), diff = v - b;
    var dir = diff > 0 ? 'up' : diff < 0 ? 'down' : 'same';
    var good = tile.better ? (diff === 0 ? '' : (diff > 0) === (tile.better === 'higher') ? 'up-good' : 'up-bad') : '';
    if (b === 0) return null; /* there is nothing to compare with */
    var sign = diff > 0 ? '▲ ' : diff < 0 ? '▼ ' : '= ';
    return { cls: good, dir: dir, text: sign + fmt.percent(diff / Math.abs(b)) };
  }

  function than(view, meta) {
    var names = { prev_day: 'yesterday', prev_week: 'last week', prev_year: 'a year ago' };
    var c = meta.compare || {};
    return 'vs ' + (names[view.compare] || '') + (c.at ? ' at ' + c.at : '');
  }

  function nothing(box) {
    box.appendChild(html('p', 'empty', 'no events yet'));
    return 'no events yet';
  }

  /* number: as large as the box allows. */
  function number(box, tile, subs, fmt, zone, now) {
    var sub = subs[0], row = rowsOf(sub).list[0], u = unit(), W = box.clientWidth, H = box.clientHeight;
    var text = fmt.number(row ? row.value : null, sub.meta, tile.format);
    var ch = change(row, tile, fmt), spark = subs[1], hasSpark = !!spark && spark.rows.size > 0;
    var small = Math.min(2.5 * u, H * .16), gap = .8 * u, goal = tile.goal && tile.goal.value;
    var bottom = (hasSpark ? Math.max(H * .24, 3 * u) : 0) + (goal ? 2 * u : 0);
    var room = H - bottom - (ch ? small * 1.35 + gap : 0);
    var size = Math.min(room * .86, W / Math.max(width(text, 1, 690) - .02 * (text.length - 1), .01), 26 * u);
    var big = html('div', 'big', text);
    big.style.fontSize = size + 'px';
    big.style.top = '0';
    big.style.height = room + 'px';
    box.appendChild(big);
    if (ch) {
      var under = html('div', 'under');
      under.style.top = room + 'px';
      under.style.fontSize = small + 'px';
      under.appendChild(html('strong', ch.cls, ch.text));
      under.appendChild(html('span', '', than(sub.view, sub.meta)));
      box.appendChild(under);
    }
    if (goal) {
      var bar = html('div', 'goal'), fill = document.createElement('i');
      bar.style.top = H - u + 'px';
      fill.style.width = Math.max(0, Math.min(1, (num(row && row.value) - tile.goal.from) / (tile.goal.value - tile.goal.from))) * 100 + '%';
      bar.appendChild(fill);
      box.appendChild(bar);
    }
    if (hasSpark) sparkline(box, spark, H - bottom + gap, W, bottom - gap - (goal ? 2 * u : 0), u, now);
    return text + (ch ? ', ' + ch.text + ' ' + than(sub.view, sub.meta) : '');
  }

  function sparkline(box, sub, y, w, h, u, now) {
    var list = rowsOf(sub).list.filter(function (r) { return r.value !== null; }).sort(function (a, b) { return a.time - b.time; });
    if (list.length > 2 && list[list.length - 1].time + (list[1].time - list[0].time) > now) list.pop(); /* not over yet */
    if (list.length < 2) return;
    var from = Date.parse(sub.meta.from), to = Date.parse(sub.meta.to), max = 0;
    list.forEach(function (r) { max = Math.max(max, num(r.value)); });
    var root = canvas(box, w, h), r = .55 * u;
    root.style.top = y + 'px';
    root.setAttribute('overflow', 'visible');
    var pts = list.map(function (p) { return [(p.time - from) / (to - from) * (w - 2 * r) + r, h - 2 - num(p.value) / (max || 1) * (h - 2 * r - 2)]; });
    root.appendChild(svg('line', { 'class': 'gl', x1: 0, x2: w, y1: h - .5, y2: h - .5 }));
    var end = pts[pts.length - 1], d = curve(pts);
    root.appendChild(svg('path', { d: d + 'L' + end[0] + ',' + h + 'L' + pts[0][0] + ',' + h + 'Z', fill: fade(root, 'var(--accent)', .32) }));
    root.appendChild(svg('path', { 'class': 'ln', d: d, stroke: 'var(--accent)', 'stroke-width': Math.max(2, .32 * u) }));
    root.appendChild(svg('circle', { cx: end[0], cy: end[1], r: r, fill: 'var(--accent)' }));
  }

  function yAxis(root, fmt, meta, tile, lo, hi, x, w, top, h, size) {
    var list = ticks(lo, hi, Math.max(2, Math.min(4, Math.floor(h / (size * 2.4)))), !meta.scale), pad = 0;
    var texts = list.map(function (v) { return fmt.compact(v); });
    texts.forEach(function (t) { pad = Math.max(pad, width(t, size)); });
    pad += size * .7;
    var y = function (v) { return top + h - (v - lo) / (hi - lo || 1) * h; };
    list.forEach(function (v, i) {
      root.appendChild(svg('line', { 'class': 'gl', x1: x + pad, x2: x + w, y1: Math.round(y(v)) + .5, y2: Math.round(y(v)) + .5 }));
      root.appendChild(svg('text', { 'class': 'ax', x: x + pad - size * .6, y: y(v) + size * .35, 'text-anchor': 'end', 'font-size': size }, texts[i]));
    });
    return { left: x + pad, y: y };
  }

  function timeAxis(root, fmt, zone, from, to, grain, x, base, size, left, right) {
    var span = (to - from) / 3600000, daily = span > 49, list = [], last = -Infinity;
    var steps = daily ? [24, 48, 72, 168, 336, 672] : [1, 2, 3, 4, 6, 8, 12], step = steps[steps.length - 1];
    var wide = width(daily ? '28 Sep' : '00:00', size) * 1.9;
    steps.some(function (s) { step = s; return (right - left) / (span / s) >= wide; });
    for (var t = from; t <= to; t += 3600000) {
      var hour = Number(fmt.time(t, zone).slice(0, 2));
      if (daily ? hour === 0 && t - last >= step * 3600000 - 7200000 : hour % step === 0 && t - last > 1800000) { list.push(t); last = t; }
    }
    list.forEach(function (t) {
      var px = x(t), text = daily ? fmt.day(t, zone) : fmt.time(t, zone), half = width(text, size) / 2;
      if (t === to && daily) return;
      if (t === to) text = '24:00';
      if (px - half < left - size * 2 || px > right + 1) return;
      root.appendChild(svg('text', { 'class': 'ax', x: Math.max(left + half - size * .2, Math.min(px, right - half)), y: base + size * 1.35, 'text-anchor': 'middle', 'font-size': size }, text));
    });
  }

  /* line: one curve for each tuple, named where it ends. */
  function line(box, tile, subs, fmt, zone, now, wm) {
    var sub = subs[0], data = rowsOf(sub), u = unit(), W = box.clientWidth, H = box.clientHeight, size = Math.max(11, 1.9 * u);
    var from = Date.parse(sub.meta.from), to = Date.parse(sub.meta.to), end = Math.min(to, wm || now);
    var series = {}, order = [], max = 0, step = { '15m': 900000, hour: 3600000, day: 86400000 }[sub.view.grain];
    data.list.sort(function (a, b) { return a.time - b.time; }).forEach(function (r) {
      var k = r.name.join(' · ');
      if (!series[k]) { series[k] = { name: k, key: r.name, at: {}, base: [], sum: 0, last: 0 }; order.push(series[k]); }
      if (r.value !== null) { series[k].at[r.time] = num(r.value); series[k].sum += num(r.value); max = Math.max(max, num(r.value)); }
      if (r.base !== null) { series[k].base.push([r.time, num(r.base)]); max = Math.max(max, num(r.base)); }
    });
    order.sort(function (a, b) { return byValue({ name: a.key, value: a.sum }, { name: b.key, value: b.sum }); });
    if (!isFinite(from)) return '';
    max = max || 1;
    var root = canvas(box, W, H), named = data.dims.length > 0, right = W - u, top = size * .8, h = H - top - size * 1.9;
    if (named) {
      var wide = 0;
      order.forEach(function (s) { wide = Math.max(wide, width(ns.label(s.name), size * 1.12, 640)); });
      /* Names stand in the empty future while there is room, else beside the chart. */
      var need = Math.min(wide + size * 2.4, W * .3), past = Math.max(.01, (end - from) / (to - from));
      right = Math.min(right, Math.max(W - need, Math.min(right, (W - need) / past * .97)));
    }
    var axis = yAxis(root, fmt, sub.meta, tile, 0, max * 1.06, 0, right, top, h, size), left = axis.left;
    var x = function (t) { return left + (t - from) / (to - from) * (right - left); };
    timeAxis(root, fmt, zone, from, to, sub.view.grain, x, top + h, size, left, right);
    if (end > from && end < to) root.appendChild(svg('line', { 'class': 'now', x1: x(end), x2: x(end), y1: top, y2: top + h }));
    var labels = [], told = [];
    order.slice().reverse().forEach(function (s) {
      if (s.base.some(function (p) { return p[1] !== 0; })) root.appendChild(svg('path', { 'class': 'base', d: curve(s.base.map(function (p) { return [x(p[0] + step / 2), axis.y(p[1])]; })) }));
      var pts = [], col = named ? colour(data.dims.join(), s.name) : 'var(--c0)';
      /* A bucket without events is zero as far as the watermark reaches; buckets follow each other by the server's times. */
      for (var t = from; t < end; t += step) {
        var v = s.at[t];
        if (sub.view.grain === 'day') continue;
        pts.push([x(Math.min(t + step / 2, end)), axis.y(v === undefined ? 0 : v)]);
        s.last = v === undefined ? 0 : v;
      }
      if (sub.view.grain === 'day') {
        pts = Object.keys(s.at).map(Number).sort(function (a, b) { return a - b; }).map(function (t) { s.last = s.at[t]; return [x(t + step / 2), axis.y(s.at[t])]; });
      }
      if (!pts.length) return;
      /* The running bucket is not over: what leads to it is drawn as not yet certain. */
      var open = pts.length > 2 && end < to ? pts.slice(-2) : null;
      if (open) root.appendChild(svg('path', { 'class': 'ln', d: curve(open), stroke: col, opacity: .75, 'stroke-width': Math.max(2, .34 * u), 'stroke-dasharray': '1 ' + Math.max(5, .8 * u).toFixed(1) }));
      var e = pts[pts.length - 1], d = curve(open ? pts.slice(0, -1) : pts);
      if (open) pts = pts.slice(0, -1);
      var over = pts[pts.length - 1];
      if (order.length <= 3) root.appendChild(svg('path', { d: d + 'L' + over[0] + ',' + (top + h) + 'L' + pts[0][0] + ',' + (top + h) + 'Z', fill: fade(root, col, order.length === 1 ? .34 : .16) }));
      root.appendChild(svg('path', { 'class': 'ln', d: d, stroke: col, 'stroke-width': Math.max(2.5, .42 * u) }));
      root.appendChild(svg('circle', { cx: over[0], cy: over[1], r: Math.max(4, .66 * u), fill: col, stroke: 'var(--panel)', 'stroke-width': Math.max(1.5, .25 * u) }));
      if (open) root.appendChild(svg('circle', { cx: e[0], cy: e[1], r: Math.max(3, .42 * u), fill: 'var(--panel)', stroke: col, 'stroke-width': Math.max(1.5, .25 * u) }));
      labels.push({ text: ns.label(s.name), y: over[1], x: e[0], col: col });
      told.unshift((named ? ns.label(s.name) + ' ' : '') + s.last);
    });
    if (named && labels.length) place(root, labels, labels[0].x + size * 1.1, top, top + h, size * 1.12);
    return told.length ? 'latest: ' + told.join(', ') : nothing(box);
  }

  /* place names curves beside their ends without one name covering another. */
  function place(root, labels, x, top, bottom, size) {
    var gap = size * 1.28;
    labels.sort(function (a, b) { return a.y - b.y; });
    labels.forEach(function (l, i) { l.at = Math.max(l.y, i ? labels[i - 1].at + gap : top + size * .5); });
    for (var i = labels.length - 1, limit = bottom; i >= 0; i--) { labels[i].at = Math.min(labels[i].at, limit); limit = labels[i].at - gap; }
    labels.forEach(function (l) {
      root.appendChild(svg('text', { x: x, y: l.at + size * .35, 'font-size': size, 'font-weight': 640, fill: l.col }, l.text));
    });
  }

  function bar(box, tile, subs, fmt, zone, now, wm) {
    return subs[0].view.grain === 'total' ? barsByName(box, tile, subs[0], fmt) : barsByTime(box, tile, subs[0], fmt, zone, now);
  }

  function barsByName(box, tile, sub, fmt) {
    var data = rowsOf(sub), list = data.list.sort(byValue), u = unit(), W = box.clientWidth, H = box.clientHeight;
    if (!list.length) return nothing(box);
    var max = 0, names = 0, vals = 0, n = list.length, pitch = Math.min(H / n, 11 * u), size = Math.min(2.7 * u, pitch * .54), thick = Math.min(pitch * .52, 4.6 * u);
    list.forEach(function (r) {
      r.text = fmt.number(r.value, sub.meta, tile.format);
      r.label = r.name.map(ns.label).join(' · ');
      max = Math.max(max, Math.abs(num(r.value) || 0));
      names = Math.max(names, width(r.label, 1, 560));
      vals = Math.max(vals, width(r.text, 1, 680));
    });
    size = Math.min(size, W * .72 / (Math.min(names, 9) + vals + 2));
    names = Math.min(names * size, W * .34);
    vals *= size;
    var root = canvas(box, W, H), left = names + size, room = W - left - vals - size, off = (H - pitch * n) / 2;
    list.forEach(function (r, i) {
      var y = off + pitch * i + pitch / 2, w = Math.max(thick * .25, Math.abs(num(r.value) || 0) / (max || 1) * room), col = n > 4 ? (r.name[0] === '__other__' ? 'var(--rest)' : 'var(--c0)') : colour(data.dims.join(), r.name.join(' · '));
      root.appendChild(svg('text', { 'class': 'sub', x: 0, y: y + size * .36, 'font-size': size, 'font-weight': 560 }, clip(r.label, size, names)));
      root.appendChild(svg('rect', { x: left, y: y - thick / 2, width: room, height: thick, rx: thick * .22, fill: 'var(--grid)', opacity: .55 }));
      root.appendChild(svg('rect', { x: left, y: y - thick / 2, width: w, height: thick, rx: thick * .22, fill: col }));
      root.appendChild(svg('text', { 'class': 'lbl', x: W, y: y + size * .36, 'text-anchor': 'end', 'font-size': size, 'font-weight': 680 }, r.text));
    });
    return list.slice(0, 5).map(function (r) { return r.label + ' ' + r.text; }).join(', ');
  }

  function clip(text, size, room) {
    if (width(text, size, 560) <= room + 1) return text;
    while (text.length > 1 && width(text + '…', size, 560) > room) text = text.slice(0, -1);
    return text + '…';
  }

  function barsByTime(box, tile, sub, fmt, zone, now) {
    var list = rowsOf(sub).list.sort(function (a, b) { return a.time - b.time; }), u = unit(), W = box.clientWidth, H = box.clientHeight, size = Math.max(11, 1.9 * u);
    var from = Date.parse(sub.meta.from), to = Date.parse(sub.meta.to), max = 0, step = { '15m': 900000, hour: 3600000, day: 86400000 }[sub.view.grain];
    list.forEach(function (r) { max = Math.max(max, num(r.value) || 0, num(r.base) || 0); });
    if (!isFinite(from)) return '';
    var root = canvas(box, W, H), top = size * .8, h = H - top - size * 1.9;
    var axis = yAxis(root, fmt, sub.meta, tile, 0, (max || 1) * 1.06, 0, W, top, h, size), left = axis.left;
    var x = function (t) { return left + (t - from) / (to - from) * (W - left); };
    timeAxis(root, fmt, zone, from, to, sub.view.grain, x, top + h, size, left, W);
    var w = (W - left) / ((to - from) / step), thick = Math.max(1.5, w * .72), best = null;
    list.forEach(function (r) {
      var px = x(r.time) + (w - thick) / 2, running = r.time + step > now;
      if (r.base !== null) root.appendChild(svg('line', { x1: px, x2: px + thick, y1: axis.y(num(r.base)), y2: axis.y(num(r.base)), stroke: 'var(--faint)', 'stroke-width': 2.5 }));
      if (r.value === null || num(r.value) === 0) return;
      var y = axis.y(num(r.value));
      root.appendChild(svg('rect', { x: px, y: y, width: thick, height: Math.max(1, top + h - y), rx: Math.min(thick * .2, .5 * u), fill: 'var(--c0)', opacity: running ? .55 : 1 }));
      if (!best || num(r.value) > num(best.value)) best = r;
    });
    return best ? 'highest ' + fmt.number(best.value, sub.meta, tile.format) + ' at ' + fmt.time(best.time, zone) : 'no events';
  }

  /* table: rows of all metrics joined by their keys, ordered by the first. */
  function table(box, tile, subs, fmt) {
    var u = unit(), H = box.clientHeight, joined = {}, list = [], dims = rowsOf(subs[0]).dims;
    subs.forEach(function (sub, i) {
      rowsOf(sub).list.forEach(function (r) {
        var k = JSON.stringify(r.name);
        if (!joined[k]) { joined[k] = { name: r.name, cells: [], value: null }; list.push(joined[k]); }
        joined[k].cells[i] = r;
        if (i === 0) joined[k].value = r.value;
      });
    });
    list.sort(byValue);
    if (!list.length) return nothing(box);
    var t = html('table', 'rows'), head = html('tr');
    t.style.fontSize = Math.max(11, Math.min(3 * u, H / (list.length + 1) * .58, box.clientWidth / wideAs(list, dims, subs, tile, fmt))) + 'px';
    if (list.length < 4) { t.style.height = 'auto'; t.style.lineHeight = H / (list.length + 1) > 6 * u ? '2.1' : '1.6'; }
    dims.forEach(function (d) { head.appendChild(html('th', '', d)); });
    subs.forEach(function (s, i) { head.appendChild(html('th', '', tile.views[i] ? tile.views[i].title : s.view.metric)); });
    t.appendChild(head);
    list.forEach(function (r) {
      var tr = html('tr');
      r.name.forEach(function (v, i) {
        var td = html('td', v === '__other__' ? 'key rest' : 'key');
        if (i === 0) {
          var dot = html('span', 'dot');
          dot.style.background = colour(dims.join(), r.name.join(' · '));
          td.appendChild(dot);
        }
        td.appendChild(document.createTextNode(ns.label(v)));
        tr.appendChild(td);
      });
      subs.forEach(function (s, i) {
        var c = r.cells[i], td = html('td', '', fmt.number(c ? c.value : null, s.meta, tile.format)), ch = change(c, tile, fmt);
        if (ch) td.appendChild(html('small', ch.cls, ch.text));
        tr.appendChild(td);
      });
      t.appendChild(tr);
    });
    box.appendChild(t);
    return list.slice(0, 3).map(function (r) { return r.name.map(ns.label).join(' '); }).join(', ') + ' lead';
  }

  /* wideAs is the width of a table in units of its font. */
  function wideAs(list, dims, subs, tile, fmt) {
    var sum = 0;
    dims.forEach(function (d, i) {
      var w = width(d, .78, 560);
      list.forEach(function (r) { w = Math.max(w, width(ns.label(r.name[i]), 1, 560) + (i ? 0 : 1.2)); });
      sum += Math.min(w, 12) + .9;
    });
    subs.forEach(function (s, i) {
      var w = width(tile.views[i] ? tile.views[i].title : '', .78, 560);
      list.forEach(function (r) { w = Math.max(w, width(fmt.number(r.cells[i] ? r.cells[i].value : null, s.meta, tile.format), 1, 640) + (s.view.compare === 'none' ? 0 : 4.5)); });
      sum += w + .9;
    });
    return sum;
  }

  /* listing is what a chart says to somebody who does not see it. */
  function listing(sub) {
    var t = html('table', 'quiet'), head = html('tr'), n = 0;
    sub.cols.forEach(function (c) { head.appendChild(html('th', '', c)); });
    t.appendChild(head);
    sub.rows.forEach(function (r) {
      if (n++ >= 25) return;
      var tr = html('tr');
      r.forEach(function (v) { tr.appendChild(html('td', '', v === null ? 'not known' : v)); });
      t.appendChild(tr);
    });
    return t;
  }

  ns.draw = { number: number, line: line, bar: bar, table: table };
  ns.listing = listing;
  ns.rowsOf = rowsOf;
  ns.html = html;
})(window.Millstream = window.Millstream || {});
