/** Starts the processes that hold planes, and talks to them. */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Deferred, Effect, Schema } from "effect"
import type { Answer, Command, HostSettings, Intervention, Report } from "./Messages.ts"

export class HostEnded extends Schema.TaggedError<HostEnded>()("HostEnded", { code: Schema.NullOr(Schema.Int) }) {
  override get message() {
    return `A process of the soak ended by itself, with code ${this.code}`
  }
}

export interface Host {
  /** Sends a command, and waits for its answer. */
  readonly ask: <Tag extends Answer["_tag"]>(
    command: Command,
    answer: Tag
  ) => Effect.Effect<Extract<Answer, { readonly _tag: Tag }>, HostEnded>
  /** Fails if the process ends before it was told to. */
  readonly ended: Effect.Effect<never, HostEnded>
  /** Stops the process for a while, as a frozen container is. */
  readonly freeze: (millis: number) => Effect.Effect<void>
}

/** Starts a process that holds these planes; it ends with the scope. */
export const start = Effect.fnUntraced(function* (
  settings: HostSettings,
  heard: (reports: ReadonlyArray<Report>, interventions: ReadonlyArray<Intervention>) => void
) {
  const waiting = new Map<Answer["_tag"], Deferred.Deferred<Answer>>()
  const ended = Deferred.makeUnsafe<never, HostEnded>()
  const child = yield* Effect.acquireRelease(Effect.sync(forkHost), (child) => Effect.sync(() => child.kill("SIGKILL")))
  child.on("exit", (code) => Deferred.doneUnsafe(ended, Effect.fail(new HostEnded({ code }))))
  child.on("message", (answer: Answer) => {
    if (answer._tag === "Reports") return heard(answer.reports, answer.interventions)
    const waiter = waiting.get(answer._tag)
    if (waiter !== undefined) Deferred.doneUnsafe(waiter, Effect.succeed(answer))
  })

  const host: Host = {
    ended: Deferred.await(ended),
    freeze: (millis) =>
      Effect.acquireUseRelease(
        Effect.sync(() => child.kill("SIGSTOP")),
        () => Effect.sleep(millis),
        () => Effect.sync(() => child.kill("SIGCONT"))
      ),
    ask: (command, tag) =>
      Effect.suspend(() => {
        const answer = Deferred.makeUnsafe<Answer>()
        waiting.set(tag, answer)
        child.send(command)
        return Effect.raceFirst(Deferred.await(answer), Deferred.await(ended)) as Effect.Effect<any, HostEnded>
      })
  }
  const { heap } = yield* host.ask({ _tag: "Start", settings }, "Started")
  return { host, heap }
})

const forkHost = (): ChildProcess =>
  fork(fileURLToPath(new URL("./host/main.ts", import.meta.url)), {
    serialization: "advanced",
    execArgv: ["--expose-gc"]
  })
