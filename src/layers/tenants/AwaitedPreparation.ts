/**
 * `EntryStore` for tenants whose database is being prepared: a statement that finds no tables waits for them.
 *
 * The first read of a tenant activates it in the background and goes to the database itself, as do reads and writes
 * while the layer is built in the background. On a new database such a statement may come before the tables. The server
 * refused it then, so that it can be sent again: once, when the tenant is live, or its first attempt has failed, or the
 * wait has lasted too long.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { saysObjectsMissing } from "../../schema/CodeWords.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { TenantStatus } from "../../schema/TenantStatus.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import { longestAwaitedPreparation } from "../runtime/Timeouts.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"

const make = Effect.gen(function* () {
  const store = yield* EntryStore
  const board = yield* StatusBoard

  const afterPreparation = <A>(
    tenant: TenantId,
    statement: Effect.Effect<A, EntryStoreError>
  ): Effect.Effect<A, EntryStoreError> =>
    Effect.catchIf(
      statement,
      ({ reason }) => saysObjectsMissing(reason) && isBeingPrepared(board.get(tenant)),
      () =>
        board
          .until(tenant, (status) => (isBeingPrepared(status) ? undefined : Exit.void))
          .pipe(Effect.timeoutOption(longestAwaitedPreparation), Effect.andThen(statement))
    )

  return EntryStore.of({
    ...store,
    read: (tenant, key) => afterPreparation(tenant, store.read(tenant, key)),
    diff: (tenant) => {
      const diff = store.diff(tenant)
      return (keys, known) => afterPreparation(tenant, diff(keys, known))
    },
    write: (tenant, writes, change) => afterPreparation(tenant, store.write(tenant, writes, change))
  })
})

/** The store of a backend, with this wait. */
export const layer = Layer.effect(EntryStore, make)

/** Whether the tenant's first attempt is under way. */
const isBeingPrepared = (status: TenantStatus | undefined): boolean =>
  status?.state === "activating" && status.lastError === undefined
