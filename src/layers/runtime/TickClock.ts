/**
 * The time, looked up once in each turn of the event loop.
 *
 * A process that was paused (a frozen container, a stopped process, a debugger) finds, when it goes on, requests that
 * waited for it, and Node hands those out before it runs a single timer. So a flag that a timer sets comes too late for them:
 * a read has to look at the clock itself. Within one turn that is needed only once, which makes it cost nothing on average.
 *
 * The look is forgotten by an immediate, which keeps the event loop from waiting, and hence from being paused while it waits,
 * as long as there is something to forget. It must not be `unref`ed: then it would not.
 */
export const memoize = (now: () => number): (() => number) => {
  let known: number | undefined
  const forget = () => {
    known = undefined
  }
  return () => {
    if (known !== undefined) return known
    setImmediate(forget)
    known = now()
    return known
  }
}
