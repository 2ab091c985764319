/** The messages between the process that checks and the processes that hold planes. */

/** A value as a plane showed it: not yet checked, so that its fields may be anything. */
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
  /**
   * All reads of a process are one observer: no read may be older than one before it. Each subscription is an observer
   * of its own.
   */
  readonly observer: "reads" | "last known" | "changes" | "watch"
  readonly via: string
  /** When it began and ended, in the order of the process: it numbers all that it does. */
  readonly began: number
  readonly ended: number
  /** The same in milliseconds. */
  readonly askedAt: number
  readonly answeredAt: number
  readonly value: Seen
  /** `undefined` if only the value was shown. */
  readonly revision: number | undefined
  /** `undefined` if the read does not say. */
  readonly stale: boolean | undefined
  readonly confirmedAt: number | undefined
  /**
   * The stamp that was written, if a write returned this. What a write returns may be older than what other reads saw,
   * but not older than what it wrote.
   */
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

/** The outcome of a write through a plane. */
export interface Written {
  readonly _tag: "Written"
  readonly plane: string
  readonly tenant: string
  readonly writes: ReadonlyArray<{ readonly key: string; readonly stamp: string; readonly ifRevision?: number }>
  readonly outcome: "landed" | "not" | "unknown"
  readonly ended: number
  readonly answeredAt: number
}

/** A guarded removal through a plane that succeeded. */
export interface Removed {
  readonly _tag: "Removed"
  readonly plane: string
  readonly tenant: string
  readonly key: string
  readonly revision: number
  readonly ended: number
  readonly answeredAt: number
}

/** The plane forgot a tenant, since it was removed, or has it back. */
export interface Forgot {
  readonly _tag: "Forgot"
  readonly plane: string
  readonly tenant: string
  readonly ended: number
  /** Whether the tenant is back. */
  readonly back: boolean
}

/** A violation that the process found itself. */
export interface Broken {
  readonly _tag: "Broken"
  readonly check: string
  readonly plane: string
  readonly tenant: string | undefined
  readonly what: string
}

export type Report = Observation | PairSeen | Written | Removed | Forgot | Broken

/** What the workload did to a tenant of a plane (suspend, remove, rotate), and from when until when. */
export interface Intervention {
  readonly plane: string
  readonly tenant: string
  readonly what: string
  readonly from: number
  readonly until: number
}

export interface HostSettings {
  readonly seed: string
  readonly planes: ReadonlyArray<{
    readonly name: string
    readonly urlTemplate: string
    readonly passwordFile: string
  }>
  /** Tenants that are dropped and made anew. */
  readonly remade: ReadonlyArray<string>
  /** Whether the wall clock of the process is set forward and back. */
  readonly jumping: boolean
  readonly tenants: ReadonlyArray<string>
  readonly maxStaleness: number
  /** Average pauses between two operations of a client, in milliseconds. */
  readonly pauses: {
    readonly reads: number
    readonly writes: number
    readonly lifecycle: number
    readonly strangers: number
  }
}

export type Command =
  | { readonly _tag: "Start"; readonly settings: HostSettings }
  /** Stops writing, activates all tenants, and goes on reading. */
  | { readonly _tag: "StopWriting" }
  | { readonly _tag: "ReadAll" }
  | { readonly _tag: "Close" }

export type Answer =
  | {
      readonly _tag: "Reports"
      readonly reports: ReadonlyArray<Report>
      readonly interventions: ReadonlyArray<Intervention>
    }
  | { readonly _tag: "Started"; readonly heap: number }
  | { readonly _tag: "Quiet"; readonly heap: number }
  | { readonly _tag: "All"; readonly entries: ReadonlyArray<Final>; readonly notLive: ReadonlyArray<string> }
  | { readonly _tag: "Closed"; readonly heap: number; readonly sockets: number; readonly fibers: number }

/** A key as a plane shows it at the end: by a read, and as its subscriber was last told. */
export interface Final {
  readonly plane: string
  readonly tenant: string
  readonly key: string
  readonly stamp: unknown
  readonly revision: number
  readonly stale: boolean
  readonly heard: string | undefined
}
