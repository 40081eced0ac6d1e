/**
 * Windows of the day in which a price has other rates, by the clock on the wall of a place: an IANA zone, so that summer
 * time is the zone's matter and nobody's arithmetic. Pure.
 *
 * A window is [from, to) in minutes of that wall's day. One whose `to` is not after its `from` goes over midnight and
 * belongs to the day it begins on. An hour that a clock change skips has no window; one that it repeats has it twice.
 */
import { z } from "zod";

export const MINUTES_PER_DAY = 1_440;

export const Window = z.object({
  zone: z.string(),
  fromMinute: z.int(),
  toMinute: z.int(),
  /** Weekdays it begins on, "12345" for Monday to Friday; null: all. */
  days: z.string().nullable(),
});
export type Window = z.infer<typeof Window>;

type WallTime = { readonly day: number; readonly minute: number };

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/** Making one takes longer than using it. Bounded by the zones of a price book. */
const formats = new Map<string, Intl.DateTimeFormat>();
const FORMATS_MAX = 100;

function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  if (formats.size >= FORMATS_MAX) formats.clear();
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
  formats.set(zone, format);
  return format;
}

export function isZone(zone: string): boolean {
  try {
    formatOf(zone);
    return true;
  } catch {
    return false;
  }
}

/** What the clock on the wall says: Monday is 1. */
export function wallTime(zone: string, atMs: number): WallTime {
  const parts = new Map(
    formatOf(zone)
      .formatToParts(atMs)
      .map(({ type, value }) => [type, value]),
  );
  const minute = Number(parts.get("hour")) * 60 + Number(parts.get("minute"));
  return { day: DAYS.indexOf(parts.get("weekday") ?? "") + 1, minute };
}

function beginsOn(window: Pick<Window, "days">, day: number): boolean {
  return window.days === null || window.days.includes(String(day));
}

export function isIn(window: Window, atMs: number): boolean {
  return covers(window, wallTime(window.zone, atMs));
}

function covers(window: Omit<Window, "zone">, { day, minute }: WallTime): boolean {
  const { fromMinute, toMinute } = window;
  if (fromMinute < toMinute) return beginsOn(window, day) && minute >= fromMinute && minute < toMinute;
  const yesterday = day === 1 ? 7 : day - 1;
  return (
    (beginsOn(window, day) && minute >= fromMinute) || (beginsOn(window, yesterday) && minute < toMinute)
  );
}

/** The first of these (all of one zone) that has a minute in common with an earlier one; -1 where none has. */
export function firstOverlap(windows: readonly Omit<Window, "zone">[]): number {
  return windows.findIndex((window, at) => {
    // Each begins somewhere: two windows meet only where one of them covers the beginning of the other.
    const beginnings = (one: Omit<Window, "zone">): WallTime[] =>
      [1, 2, 3, 4, 5, 6, 7]
        .filter((day) => beginsOn(one, day))
        .map((day) => ({ day, minute: one.fromMinute }));
    return windows
      .slice(0, at)
      .some(
        (earlier) =>
          beginnings(window).some((time) => covers(earlier, time)) ||
          beginnings(earlier).some((time) => covers(window, time)),
      );
  });
}
