/* Numbers and times as people write them. */
(function (ns) {
  'use strict';

  var currencies = /^[A-Z]{3}$/;

  function Format(locale) {
    this.locale = locale || undefined;
    this.cache = {};
  }

  Format.prototype.intl = function (options) {
    var key = JSON.stringify(options);
    if (!this.cache[key]) {
      try { this.cache[key] = new Intl.NumberFormat(this.locale, options); }
      catch (e) { this.cache[key] = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 }); }
    }
    return this.cache[key];
  };

  /* number writes a decimal text; null is a dash. The unit stands with it unless bare. */
  Format.prototype.number = function (text, meta, style, bare) {
    if (text === null || text === undefined) return '–';
    meta = meta || {};
    style = style || {};
    var v = Number(text), unit = bare ? '' : meta.unit || '';
    var digits = style.decimals !== undefined && style.decimals !== '' ? Number(style.decimals) : meta.scale || 0;
    var out;
    if (style.compact && Math.abs(v) >= 10000) {
      out = this.compact(v);
      if (currencies.test(unit)) out = this.symbol(unit, out);
      else if (unit) out += ' ' + unit;
    } else if (currencies.test(unit)) {
      out = this.intl({ style: 'currency', currency: unit, minimumFractionDigits: digits, maximumFractionDigits: digits }).format(v);
    } else {
      out = this.intl({ minimumFractionDigits: digits, maximumFractionDigits: digits }).format(v);
      if (unit === '%') out += '\u202f%';
      else if (unit) out += '\u202f' + unit;
    }
    return (style.prefix || '') + out.replace(/^-/, '\u2212') + (style.suffix || '');
  };

  Format.prototype.symbol = function (currency, text) {
    var parts = this.intl({ style: 'currency', currency: currency, maximumFractionDigits: 0 }).format(0);
    return parts.replace(/0([.,]0+)?/, text);
  };

  Format.prototype.compact = function (v) {
    var steps = [[1e12, 'T'], [1e9, 'B'], [1e6, 'M'], [1e3, 'K']];
    for (var i = 0; i < steps.length; i++) {
      if (Math.abs(v) >= steps[i][0]) {
        var n = v / steps[i][0];
        return this.intl({ maximumFractionDigits: Math.abs(n) < 100 ? 1 : 0 }).format(n) + steps[i][1];
      }
    }
    return this.intl({ maximumFractionDigits: Math.abs(v) < 10 ? 1 : 0 }).format(v);
  };

  Format.prototype.percent = function (ratio) {
    var p = Math.abs(ratio * 100);
    return this.intl({ maximumFractionDigits: p < 10 ? 1 : 0 }).format(p) + '\u202f%';
  };

  Format.prototype.time = function (ms, zone, seconds) {
    var options = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
    if (seconds) options.second = '2-digit';
    if (zone) options.timeZone = zone;
    return new Date(ms).toLocaleTimeString(this.locale || 'en-GB', options);
  };

  Format.prototype.day = function (ms, zone) {
    var options = { day: 'numeric', month: 'short' };
    if (zone) options.timeZone = zone;
    return new Date(ms).toLocaleDateString(this.locale || 'en-GB', options);
  };

  Format.prototype.since = function (ms) {
    var s = Math.max(0, Math.round(ms / 1000));
    if (s < 60) return s + ' s';
    if (s < 3600) return Math.floor(s / 60) + ' min';
    if (s < 86400) return Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min';
    return Math.floor(s / 86400) + ' d ' + Math.floor(s % 86400 / 3600) + ' h';
  };

  ns.Format = Format;
  ns.label = function (value) { return value === '__other__' ? 'others' : value; };
})(window.Millstream = window.Millstream || {});
