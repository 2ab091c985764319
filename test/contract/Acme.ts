/** The database of tenant acme, whatever it is kept in, as other programs than the plane use it. */
import { Context, type Effect } from "effect"
import type { KeyName, TenantId as TenantIdType } from "effect-systemplane"
import { TenantId } from "effect-systemplane"
import type { MemoryChange, MemoryRow } from "effect-systemplane/testing"

export const acme: TenantIdType = TenantId.make("acme")

export class Acme extends Context.Service<
  Acme,
  {
    /** Writes a value by plain SQL, or its like, as `stranger`; returns its revision. */
    readonly write: (key: KeyName, value: unknown) => Effect.Effect<number>
    readonly erase: (key: KeyName) => Effect.Effect<void>
    /** Several changes in one transaction. */
    readonly transact: (changes: ReadonlyArray<MemoryChange>) => Effect.Effect<void>
    /** The same with the triggers disabled. */
    readonly withoutTriggers: (changes: ReadonlyArray<MemoryChange>) => Effect.Effect<void>
    readonly truncate: Effect.Effect<void>
    /** Copies the database; the effect it yields takes it back to the copy. */
    readonly backup: Effect.Effect<Effect.Effect<void>>
    readonly rows: Effect.Effect<ReadonlyArray<Omit<MemoryRow, "fingerprint">>>
    /** How many sessions of ours listen, and how many there are in all. */
    readonly listeners: Effect.Effect<number>
    readonly sessions: Effect.Effect<number>
    /** Ends our listening sessions, and returns how many there were. */
    readonly killListeners: Effect.Effect<number>
  }
>()("test/Acme") {}
