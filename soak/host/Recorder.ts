/** Notes what the planes of this process show and do, numbered in the order in which it happens. */
import { Clock, DateTime, Effect } from "effect"
import type { Entry } from "effect-systemplane"
import { nameOf, type SoakKey } from "../keys.ts"
import type { Broken, Interlude, Observation, Report, Seen } from "../Messages.ts"

export interface Began {
  readonly number: number
  readonly at: number
}

export interface Recorder {
  readonly begin: Effect.Effect<Began>
  /** The number of an end; everything that begins later has a higher one. */
  readonly end: Effect.Effect<Began>
  readonly note: (report: Report) => void
  readonly interlude: (interlude: Interlude) => void
  /** What was noted since it was last asked for. */
  readonly take: () => { readonly reports: ReadonlyArray<Report>; readonly interludes: ReadonlyArray<Interlude> }
}

export const make = (): Recorder => {
  let number = 0
  let reports: Array<Report> = []
  let interludes: Array<Interlude> = []
  const next = Effect.map(Clock.currentTimeMillis, (at) => ({ number: ++number, at }))
  return {
    begin: next,
    end: next,
    note: (report) => {
      reports.push(report)
    },
    interlude: (interlude) => {
      interludes.push(interlude)
    },
    take: () => {
      const taken = { reports, interludes }
      reports = []
      interludes = []
      return taken
    }
  }
}

/** What one plane shows, on its way to the recorder. */
export const observing =
  (recorder: Recorder, plane: string) =>
  (
    tenant: string,
    key: SoakKey,
    shown: Pick<Observation, "observer" | "via"> & { readonly value: Seen } & Partial<Observation>,
    began: Began,
    ended: Began
  ): void =>
    recorder.note({
      _tag: "Observation",
      plane,
      tenant,
      key: nameOf(key),
      began: began.number,
      ended: ended.number,
      askedAt: began.at,
      answeredAt: ended.at,
      revision: undefined,
      stale: undefined,
      confirmedAt: undefined,
      liveSince: undefined,
      ...shown
    })

/** The part of an entry that is judged. */
export const partsOf = ({ confirmedAt, revision, stale, value }: Entry<unknown>) => ({
  value: value as Seen,
  revision,
  stale,
  confirmedAt: confirmedAt === undefined ? undefined : DateTime.toEpochMillis(confirmedAt)
})

export const broken = (
  recorder: Recorder,
  plane: string,
  check: Broken["check"],
  what: string,
  tenant?: string
): Effect.Effect<void> => Effect.sync(() => recorder.note({ _tag: "Broken", check, plane, tenant, what }))
