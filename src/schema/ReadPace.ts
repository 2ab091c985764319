/**
 * How soon a tenant may be read again because something was notified. Pure.
 *
 * A read that a notification prompts costs the server and this process some milliseconds, and a notification costs its
 * sender nothing: a stream of changes, or a role that may only connect and floods `NOTIFY`, would keep both busy. So
 * reading has a budget: it regains a share of the time that passes, up to a limit, and a read spends the time that it
 * took. While there is budget, a read begins at once; otherwise it waits until the debt is paid. So the least gap
 * between two reads adapts to what they cost: a single change is read at once, and a stream of them takes `share` of a
 * core at most.
 *
 * What is notified while a read waits is answered by that read: nothing is lost, and values are visible `longestGap`
 * later at most. Reads after connecting and verifications do not wait.
 *
 * @since 0.1.0
 */

/** The budget of one tenant. Times are in milliseconds, moments by a monotonic clock. */
export interface ReadPace {
  /** The reading time that is left; a debt if it is negative. */
  readonly budget: number
  /** When it was computed. */
  readonly at: number
}

/** The share of a core that reads after notifications may take. */
export const share = 0.05

/** The most that is saved up: 25 reads of 2 ms in a row begin at once, and a second later 25 more. */
export const most = 50

/** A read is never held back longer than this, whatever the last one cost. */
export const longestGap = 2_000

/** Before anything was read. */
export const initial = (at: number): ReadPace => ({ budget: most, at })

/** The budget as time passes. */
const regained = ({ at, budget }: ReadPace, now: number): number =>
  Math.min(most, budget + share * Math.max(0, now - at))

/** After a read that took `took`. Its debt is bounded, so that the next read waits `longestGap` at most. */
export const afterRead = (pace: ReadPace, took: number, now: number): ReadPace => ({
  budget: Math.max(regained(pace, now) - took, -share * longestGap),
  at: now
})

/** How long the next read must wait. */
export const delay = (pace: ReadPace, now: number): number => Math.max(0, -regained(pace, now) / share)
