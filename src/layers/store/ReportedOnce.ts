/**
 * What was reported already, so that a warning is logged once and not at each attempt. At most `capacity` subjects are
 * remembered; beyond that the oldest may be reported again.
 */

/** Each subject is a few dozen bytes. */
const capacity = 10_000

export interface ReportedOnce<A> {
  /** Whether this differs from what was last reported of the subject; from now on it is what was. */
  readonly isNew: (subject: string, report: A) => boolean
}

export const make = <A>(): ReportedOnce<A> => {
  const reported = new Map<string, A>()
  return {
    isNew: (subject, report) => {
      if (reported.has(subject) && reported.get(subject) === report) return false
      reported.delete(subject)
      reported.set(subject, report)
      if (reported.size > capacity) reported.delete(reported.keys().next().value!)
      return true
    }
  }
}
