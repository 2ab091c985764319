/**
 * The time as reads need it: looked up once in each turn of the event loop, and again after a number of reads in one
 * turn.
 *
 * A process that was paused (a frozen container, a stopped process, a debugger) finds requests that waited for it when
 * it goes on, and Node delivers them before it runs a single timer. A flag that a timer sets comes too late for them,
 * so a read looks at the clock itself. Within one turn of a few reads one look is enough, and costs nothing on average.
 *
 * The memo is cleared by `setImmediate`. A pending immediate keeps the event loop from blocking in poll, so a known
 * time never survives a pause. It must not be `unref`ed: then it would not keep the loop from blocking.
 *
 * A turn may be long: a synchronous loop that reads for seconds never lets the immediate run. So the time is looked up
 * again after some reads: after each of them while they are far apart, and after up to 128 while 128 take less than a
 * millisecond.
 */

/** At 50 ns a read, 128 reads take 6 µs, and a look at the clock costs each of them less than 1 ns. */
const mostReads = 128

/** Reads that take no longer than this together, in milliseconds, may share a look at the clock. */
const shortTime = 0.5

export const memoize = (now: () => number): (() => number) => {
  let known: number | undefined
  /** How many reads may still use `known`. */
  let left = 0
  /** How many reads share a look at present. */
  let share = 1
  const forget = () => {
    known = undefined
  }
  return () => {
    if (known !== undefined && left > 0) {
      left--
      return known
    }
    const before = known
    if (before === undefined) setImmediate(forget)
    known = now()
    // The first reads of a turn are not yet known to be close together.
    share = before !== undefined && known - before < shortTime ? Math.min(share * 2, mostReads) : 1
    left = share
    return known
  }
}
