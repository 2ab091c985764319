/**
 * How `ChangeHistory` fails.
 */
import * as Effect from "effect/Effect"
import type { ConfigError } from "../../schema/ConfigError.ts"
import * as ConfigReasons from "../../schema/ConfigReasons.ts"
import { ChangeHistoryError, type ChangeHistoryErrorReason } from "../../schema/operator/ChangeHistoryError.ts"
import type { HistoryStoreError } from "../../services/HistoryStore.ts"

/** Fails with a `ChangeHistoryError` for this reason. */
export const failWith = (reason: ChangeHistoryErrorReason) => Effect.fail(new ChangeHistoryError({ reason }))

export const ofConfig = ({ reason }: ConfigError) => new ChangeHistoryError({ reason })

export const ofStore = (error: HistoryStoreError) =>
  new ChangeHistoryError({ reason: error._tag === "HistoryMissing" ? error : ConfigReasons.ofRead(error) })
