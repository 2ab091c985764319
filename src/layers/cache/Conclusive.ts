/**
 * Reads everything until an answer can be judged: what asks a database again, and how often.
 *
 * ```
 *   read ──▶ conclusive ──▶ done
 *    ▲  └──▶ inconclusive: at once, three times ──▶ then after 10 ms, twice as long each time, up to a second
 *    └───────────┘                                     │ the eleventh answer is inconclusive too
 *                                                      ▼
 *                                                    fails
 * ```
 *
 * An answer is inconclusive while a write of this process is under way, and then the next one is not. One that stays so
 * says that the table contradicts itself, or that this process deletes rows all the time. The failure ends the session
 * of a feed, or counts in the circuit of reads: both back off by themselves, and both tell the operator. So nothing
 * here goes on for ever.
 */
import * as Effect from "effect/Effect"
import { EntryStoreError, Refused } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { readAgain } from "../runtime/Timeouts.ts"

/** Runs the read until it is conclusive. Fails if it never is. */
export const read = Effect.fnUntraced(function* <A extends { readonly inconclusive: boolean }>(
  tenant: TenantId,
  once: Effect.Effect<A, EntryStoreError>
): Effect.fn.Return<A, EntryStoreError> {
  let pause: number = readAgain.firstPause
  for (let asked = 1; ; asked++) {
    const found = yield* once
    if (!found.inconclusive) return found
    if (asked === readAgain.times) return yield* EntryStoreError.of(tenant, new Refused({ code: "40001" }))
    if (asked <= readAgain.atOnce) continue
    yield* Effect.sleep(pause)
    pause = Math.min(2 * pause, readAgain.longestPause)
  }
})
