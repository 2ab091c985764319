/**
 * The write that takes a change back, by the methods that the cache has today: several values in one transaction, or one removal.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { ConfigError, NotSupported } from "../../schema/ConfigError.ts"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as Requests from "../../schema/WriteRequest.ts"
import type { TenantCache } from "../../services/TenantCache.ts"

export interface WriteRequest {
  readonly writes: ReadonlyArray<{
    readonly key: ConfigKey.Any
    /** `undefined` deletes the row. */
    readonly json: string | undefined
    readonly ifRevision?: number | undefined
  }>
  readonly change: { readonly actor: string }
}

export const changeOf = ({
  actor
}: {
  readonly actor: string
  readonly reason?: string | undefined
}): Result.Result<WriteRequest["change"], ConfigError> => Result.map(Requests.encodeAll([], actor), () => ({ actor }))

export const write = (
  cache: TenantCache["Service"],
  tenant: TenantId,
  { change, writes }: WriteRequest
): ReturnType<TenantCache["Service"]["put"]> => {
  const [first] = writes
  if (first !== undefined && writes.length === 1 && first.json === undefined) {
    return Effect.map(cache.remove(tenant, first.key, first.ifRevision), (entry) => [entry])
  }
  const puts = writes.flatMap(({ json, ...write }) => (json === undefined ? [] : [{ ...write, json }]))
  return puts.length === writes.length
    ? cache.put(tenant, puts, change.actor)
    : Effect.fail(
        new ConfigError({
          reason: new NotSupported({ problem: "a change that both sets and removes is not reverted yet" })
        })
      )
}
