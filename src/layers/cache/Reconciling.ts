/**
 * How an answer of the database comes into a replica, a read's and a write's alike. Most answers can be applied on
 * their own. One that is inconclusive (something else was published meanwhile), or that shows that the table went back,
 * is settled by reading the whole table. The feed does not come here: it reconciles on its own session.
 */
import * as Effect from "effect/Effect"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import * as Conclusive from "./Conclusive.ts"
import type { Replica } from "./Replica.ts"
import type { Replicas } from "./Replicas.ts"

export type Reconciling = Effect.Success<ReturnType<typeof make>>

export const make = Effect.fnUntraced(function* (replicas: Replicas) {
  const store = yield* EntryStore

  /**
   * Reads everything through the store, and again while a write of this process that is under way leaves it
   * inconclusive.
   */
  const reconcile = (replica: Replica): Effect.Effect<void, EntryStoreError> =>
    Conclusive.read(
      replica.tenant,
      Effect.flatMap(replicas.begin(replica), (asked) =>
        Effect.flatMap(store.diff(replica.tenant)(replicas.keys, Snapshot.fingerprints(asked)), (diff) =>
          replicas.applyDiff(replica, diff, asked)
        )
      )
    ).pipe(Effect.asVoid)

  /** Applies what an answer says of these slots; reconciles if that cannot be judged on its own. */
  const apply = (
    replica: Replica,
    applyAnswer: (state: Snapshot.State) => Snapshot.Outcome,
    source: "read" | "write",
    slots: ReadonlyArray<number>
  ): Effect.Effect<void, EntryStoreError> => {
    const applied = Effect.map(
      replicas.apply(replica, applyAnswer, source, slots),
      ({ inconclusive, regressed }) => !inconclusive && !regressed
    )
    const appliedOr = (reconcile: Effect.Effect<void, EntryStoreError>) =>
      Effect.flatMap(applied, (done) => (done ? Effect.void : reconcile))
    // Applied again once it is this answer's turn: the reconcile before it may have settled this one, too.
    return appliedOr(replica.settling.withPermit(appliedOr(reconcile(replica))))
  }

  return { apply, reconcile }
})
