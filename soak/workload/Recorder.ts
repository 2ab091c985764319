/** Records what the planes of this process show and do, numbered in the order in which it happens. */
import { Clock, DateTime, Effect } from "effect"
import type { Entry } from "effect-systemplane"
import { nameOf, type SoakKey } from "../Keys.ts"
import type { Broken, Intervention, Observation, Report, Seen } from "../Messages.ts"

export interface Began {
  readonly number: number
  /** The true time, in milliseconds: the wall clock of the process may be set. */
  readonly at: number
  /** By how much the wall clock of the process was ahead of it. */
  readonly ahead: number
}

export interface Recorder {
  readonly begin: Effect.Effect<Began>
  /** The number of an end; what begins later has a higher one. */
  readonly end: Effect.Effect<Began>
  readonly note: (report: Report) => void
  readonly intervention: (intervention: Intervention) => void
  /** What was recorded since the last call. */
  readonly take: () => { readonly reports: ReadonlyArray<Report>; readonly interventions: ReadonlyArray<Intervention> }
}

export const make = (ahead: () => number = () => 0): Recorder => {
  let number = 0
  let reports: Array<Report> = []
  let interventions: Array<Intervention> = []
  const next = Effect.map(Clock.currentTimeMillis, (now) => ({ number: ++number, at: now - ahead(), ahead: ahead() }))
  return {
    begin: next,
    end: next,
    note: (report) => {
      reports.push(report)
    },
    intervention: (intervention) => {
      interventions.push(intervention)
    },
    take: () => {
      const taken = { reports, interventions }
      reports = []
      interventions = []
      return taken
    }
  }
}

/** Records what one plane shows. */
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
      liveSince: undefined,
      ...shown,
      // The entry may have been made before the clock was set: the earlier time claims less.
      confirmedAt: shown.confirmedAt && shown.confirmedAt - Math.max(began.ahead, ended.ahead)
    })

/** The part of an entry that is checked. */
export const partsOf = ({ confirmedAt, revision, stale, value }: Entry<unknown>) => ({
  value: value as Seen,
  revision,
  stale,
  confirmedAt: confirmedAt && DateTime.toEpochMillis(confirmedAt)
})

export const broken = (
  recorder: Recorder,
  plane: string,
  check: Broken["check"],
  what: string,
  tenant?: string
): Effect.Effect<void> => Effect.sync(() => recorder.note({ _tag: "Broken", check, plane, tenant, what }))
