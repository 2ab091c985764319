/** What a process that holds planes tells the one that judges them, and what it is told. */

/** The value of every key of the soak, as far as somebody has looked at it. */
export interface Seen {
  readonly tenant: unknown
  readonly stamp: unknown
}

/** Something that a plane showed. */
export interface Observation {
  readonly _tag: "Observation"
  readonly plane: string
  readonly tenant: string
  readonly key: string
  /** All reads of a process are one observer: what one was shown, the next may rely on. A subscription is one of its own. */
  readonly observer: "reads" | "last known" | "changes" | "watch"
  readonly via: string
  /** When it began and ended, as the process numbers what it does. */
  readonly began: number
  readonly ended: number
  /** The same in milliseconds. */
  readonly askedAt: number
  readonly answeredAt: number
  readonly value: Seen
  /** `undefined` where only the value was shown. */
  readonly revision: number | undefined
  /** `undefined` where nothing was said of it. */
  readonly stale: boolean | undefined
  readonly confirmedAt: number | undefined
  /** Where a write returned it: what was written. It may be older than what others saw meanwhile, and not older than that. */
  readonly written?: string | undefined
  /** Since when the tenant has been live on this plane; `undefined` while it is not. Only for changes. */
  readonly liveSince: number | undefined
}

/** Two keys that are only ever written together, read from one snapshot. */
export interface PairSeen {
  readonly _tag: "PairSeen"
  readonly plane: string
  readonly tenant: string
  readonly at: number
  readonly stale: boolean
  readonly left: Seen
  readonly right: Seen
}

/** What came of a write through a plane. */
export interface Written {
  readonly _tag: "Written"
  readonly plane: string
  readonly tenant: string
  readonly writes: ReadonlyArray<{ readonly key: string; readonly stamp: string; readonly ifRevision?: number }>
  readonly outcome: "landed" | "not" | "unknown"
  readonly ended: number
  readonly answeredAt: number
}

/** What came of a removal with a guard through a plane that succeeded. */
export interface Removed {
  readonly _tag: "Removed"
  readonly plane: string
  readonly tenant: string
  readonly key: string
  readonly revision: number
  readonly ended: number
  readonly answeredAt: number
}

/** From here on a plane knows nothing of a tenant that it was shown before: the tenant was removed, or is back. */
export interface Forgot {
  readonly _tag: "Forgot"
  readonly plane: string
  readonly tenant: string
  readonly ended: number
  /** Whether the tenant is back. */
  readonly back: boolean
}

/** A check that the process itself saw broken. */
export interface Broken {
  readonly _tag: "Broken"
  readonly check: string
  readonly plane: string
  readonly tenant: string | undefined
  readonly what: string
}

export type Report = Observation | PairSeen | Written | Removed | Forgot | Broken

/** What somebody did to a tenant of a plane, and from when until when. */
export interface Interlude {
  readonly plane: string
  readonly tenant: string
  readonly what: string
  readonly from: number
  readonly until: number
}

export interface HostSettings {
  readonly seed: string
  readonly planes: ReadonlyArray<{ readonly name: string; readonly urlTemplate: string }>
  readonly tenants: ReadonlyArray<string>
  readonly maxStaleness: number
  /** Pauses between what one actor does, in milliseconds, on average. */
  readonly pauses: { readonly reads: number; readonly writes: number; readonly lifecycle: number }
}

export type Command =
  | { readonly _tag: "Start"; readonly settings: HostSettings }
  /** Writes no more, leaves no tenant suspended, and goes on reading. */
  | { readonly _tag: "StopWriting" }
  | { readonly _tag: "ReadAll" }
  | { readonly _tag: "Close" }

export type Answer =
  | { readonly _tag: "Reports"; readonly reports: ReadonlyArray<Report>; readonly interludes: ReadonlyArray<Interlude> }
  | { readonly _tag: "Started"; readonly heap: number }
  | { readonly _tag: "Quiet"; readonly heap: number }
  | { readonly _tag: "All"; readonly entries: ReadonlyArray<Final>; readonly notLive: ReadonlyArray<string> }
  | { readonly _tag: "Closed"; readonly heap: number; readonly sockets: number; readonly fibers: number }

/** A key as a plane shows it at the end: by a read, and as its subscriber last heard of it. */
export interface Final {
  readonly plane: string
  readonly tenant: string
  readonly key: string
  readonly stamp: unknown
  readonly revision: number
  readonly stale: boolean
  readonly heard: string | undefined
}
