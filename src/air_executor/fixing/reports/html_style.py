"""How the report looks: light or dark as the reader's system is, and on paper."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #f6f7f9; --card: #ffffff; --ink: #1f2733; --quiet: #5b6575; --rule: #e2e6ec; --grid: #e9ecf1;
  --good: #23805a; --warn: #9a6700; --bad: #c0392f; --accent: #2467c9; --other: #7658b8;
  --bar-error: #d6453d; --bar-warning: #e0a12b; --bar-info: #8fa3bf; --soft-bad: #fdeeec; --soft-warn: #fdf5e3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181f; --card: #1c222b; --ink: #e6e9ee; --quiet: #9aa5b4; --rule: #2e3641; --grid: #2a313c;
    --good: #4fc48f; --warn: #e3b04b; --bad: #f0776f; --accent: #6aa5f5; --other: #b49aec;
    --bar-error: #dd5b53; --bar-warning: #d09a35; --bar-info: #647690; --soft-bad: #3a2325; --soft-warn: #352d1c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main { max-width: 1200px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 0 0 12px; }
h2.more { margin-top: 18px; }
p { margin: 0 0 8px; }
.quiet { color: var(--quiet); }
.about { color: var(--quiet); margin-bottom: 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; margin-bottom: 16px; }
.tile, section { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
.tile { padding: 12px 16px; }
.tile b { display: block; font-size: 26px; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile b.words { font-size: 19px; line-height: 32px; }
.tile span { color: var(--quiet); font-size: 13px; }
.tile .name { font-size: 13px; color: var(--quiet); }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
section { padding: 16px 18px; margin-bottom: 16px; }
section.alert { background: var(--soft-bad); border-color: var(--bad); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 16px; }
.plots section { margin: 0; min-width: 0; }
.plots { margin-bottom: 16px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--quiet); font-weight: 500; font-size: 13px; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--rule); vertical-align: top; overflow-wrap: normal; }
tr:last-child > td { border-bottom: 0; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td:first-child { white-space: nowrap; }
td.words { white-space: normal; overflow-wrap: anywhere; min-width: 220px; }
code, pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { margin: 0; white-space: pre-wrap; }
details { border-bottom: 1px solid var(--rule); }
details:last-of-type { border-bottom: 0; }
summary { cursor: pointer; padding: 6px 0; }
summary b { font-weight: 600; }
details ol { margin: 0 0 10px; padding-left: 20px; list-style: none; }
details li { padding: 1px 0; }
.mend { display: block; color: var(--quiet); }
.key { display: flex; gap: 16px; flex-wrap: wrap; font-size: 13px; color: var(--quiet); margin: 8px 0 0; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; }
footer { color: var(--quiet); font-size: 13px; }
.plots section { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 400px; height: auto; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .tick, svg .value { fill: var(--quiet); }
svg .tick { font-size: 11px; }
svg .grid { stroke: var(--grid); }
svg .border { stroke: var(--bad); stroke-dasharray: 4 4; opacity: .75; }
svg rect.error, i.error { fill: var(--bar-error); background: var(--bar-error); }
svg rect.warning, i.warning { fill: var(--bar-warning); background: var(--bar-warning); }
svg rect.info, i.info { fill: var(--bar-info); background: var(--bar-info); }
svg polyline { fill: none; stroke-width: 2; }
svg polyline.overall { stroke: var(--accent); stroke-width: 3; }
svg polyline.static { stroke: var(--good); }
svg polyline.dynamic { stroke: var(--other); }
svg circle.overall, i.overall { fill: var(--accent); background: var(--accent); }
svg circle.static, i.static { fill: var(--good); background: var(--good); }
svg circle.dynamic, i.dynamic { fill: var(--other); background: var(--other); }
svg circle.point { fill: var(--accent); opacity: .55; }
svg circle.bad, i.bad { fill: var(--bar-error); background: var(--bar-error); opacity: .8; }
i.point { background: var(--accent); opacity: .6; }
@media print { body { background: none; } section, .tile { break-inside: avoid; } }
"""
