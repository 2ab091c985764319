import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Queue, Scope } from "effect"
import { type SqlClient, TransactionConnection } from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import type { Statement } from "effect/sql/Statement"
import { TestClock } from "effect/testing"
import { Connector, ConnectorError, PgConnector, type Query, type TenantId } from "effect-systemplane"
import * as PgDatabases from "../../src/layers/postgres/PgDatabases.ts"
import * as PgOneTenantPerDatabase from "../../src/layers/postgres/PgOneTenantPerDatabase.ts"
import * as CountingConnector from "../support/CountingConnector.ts"
import { limiter } from "../support/limiter.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import { acme } from "./TestStore.ts"

const over = (connector: Layer.Layer<Connector>) =>
  PgDatabases.layer.pipe(Layer.provide(limiter()), Layer.provideMerge(connector))

const onDatabase = <A, E>(
  test: (
    database: TestDatabase.TestDatabase,
    sent: CountingConnector.Sent
  ) => Effect.Effect<A, E, PgDatabases.PgDatabases | Connector | Scope.Scope>
) =>
  Effect.gen(function* () {
    const database = yield* TestDatabase.make
    const { layer, sent } = CountingConnector.make(PgConnector.layerRecord({ acme: database }))
    return yield* Effect.provide(test(database, sent), over(layer))
  }).pipe(Effect.scoped)

const ahead = PgDatabases.PgDatabases.use((databases) => databases.runAhead(acme, (query) => query("SELECT 1 AS one")))

const sessionOfFeed = PgDatabases.PgDatabases.use((databases) => databases.session(acme))

const nothingLeft = (database: TestDatabase.TestDatabase) =>
  TestDatabase.eventually(
    "nothing is left",
    Effect.map(database.sessions, (sessions) => sessions.length === 0)
  )

describe("a session that was opened ahead", () => {
  it.live("a session that was opened ahead serves all statements, then one feed; the next feed has another", () =>
    onDatabase((database, sent) =>
      Effect.gen(function* () {
        yield* Effect.all([ahead, ahead, ahead], { concurrency: "unbounded" })
        const scope = yield* Scope.make()
        const first = yield* Scope.provide(sessionOfFeed, scope)
        assert.deepStrictEqual([sent.sessions, sent.clients], [1, 0])
        yield* database.run("SELECT pg_notify('systemplane_changes', 'hello')")
        assert.deepStrictEqual(yield* first.payloads, ["hello"])
        yield* Effect.scoped(sessionOfFeed)
        assert.strictEqual(sent.sessions, 2)
        yield* Scope.close(scope, Exit.void)
        yield* nothingLeft(database)
      })
    )
  )

  it.live("G12: a session that was opened ahead is closed if no feed takes it", () =>
    onDatabase((database) => Effect.andThen(ahead, nothingLeft(database)))
  )

  it.live("a session opened ahead is abandoned with a statement that is interrupted", () =>
    onDatabase((_, sent) =>
      Effect.gen(function* () {
        const databases = yield* PgDatabases.PgDatabases
        const began = yield* Queue.unbounded<void>()
        const hanging = databases.runAhead(acme, (query) =>
          Effect.andThen(Queue.offer(began, undefined), query("SELECT pg_sleep(5)"))
        )
        yield* Effect.raceFirst(hanging, Queue.take(began))
        const session = yield* sessionOfFeed
        assert.deepStrictEqual(yield* session.query("SELECT 1 AS one"), [{ one: 1 }])
        assert.strictEqual(sent.sessions, 2)
      })
    )
  )

  it.live("a session opened ahead costs three calls of the resolver, however many statements run", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      let asked = 0
      const resolving = PgConnector.layerFrom(() =>
        Effect.sync(() => {
          asked++
          return Option.some(database)
        })
      )
      yield* Effect.andThen(ahead, Effect.andThen(ahead, Effect.scoped(sessionOfFeed))).pipe(
        Effect.provide(over(resolving))
      )
      assert.strictEqual(asked, 3)
    }).pipe(Effect.scoped)
  )

  it.live("a session opened ahead is not needed if the server allows no listener: then a client serves", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const inner = yield* Connector
        const deaf = Connector.of({
          ...inner,
          session: (tenant) =>
            Effect.fail(new ConnectorError({ tenant, reason: new ConnectorError.ListenFailed({ code: "0A000" }) }))
        })
        const databases = over(Layer.succeed(Connector, deaf))
        assert.deepStrictEqual(yield* Effect.provide(ahead, databases), [{ one: 1 }])
        yield* nothingLeft(database)
      })
    )
  )

  it.effect("the time for a statement begins when the session opened ahead is open", () =>
    Effect.gen(function* () {
      const slow = Connector.of({
        sole: Option.none(),
        client: () => Effect.never,
        session: () =>
          Effect.as(Effect.sleep("20 seconds"), {
            query: (sql) =>
              Effect.succeed([
                sql === PgOneTenantPerDatabase.identify ? { system: "1", started: "1", database: "a" } : { one: 1 }
              ]),
            payloads: Effect.never,
            abandon: Effect.void
          }),
        interchangeable: () => Effect.succeed(true)
      })
      const answer = yield* Effect.forkChild(Effect.provide(ahead, over(Layer.succeed(Connector, slow))))
      yield* TestClock.adjust("21 seconds")
      assert.deepStrictEqual(yield* Fiber.join(answer), [{ one: 1 }])
    })
  )
})

/** As the driver says it. */
const noAnswer = new SqlError({
  reason: new ConnectionError({
    cause: new Error("timeout"),
    message: "PgConnection: Connection timed out",
    operation: "connect"
  })
})

describe("a client that was not answered", () => {
  it.effect(
    "G12: a client that answers nothing is replaced, one that answered others is kept, and the statement is abandoned",
    () =>
      Effect.gen(function* () {
        let [opened, abandoned] = [0, 0]
        // Statements that say so are never answered.
        const answer = (sql: string): Effect.Effect<ReadonlyArray<unknown>, SqlError> => {
          if (sql === PgOneTenantPerDatabase.identify) {
            return Effect.succeed([{ system: "1", started: "1", database: "a" }])
          }
          if (sql === "answered") return Effect.succeed([])
          if (sql === "no connection is answered") return Effect.fail(noAnswer)
          return Effect.onInterrupt(Effect.never, () => Effect.sync(() => abandoned++))
        }
        const client: Pick<SqlClient, "unsafe" | "transactionService"> = {
          unsafe: (sql: string) => answer(sql) as unknown as Statement<any>,
          transactionService: TransactionConnection(0)
        }
        const connector = Connector.of({
          sole: Option.none(),
          client: () =>
            Effect.sync(() => {
              opened++
              return { ...client } as SqlClient
            }),
          session: () => Effect.never
        })
        yield* Effect.gen(function* () {
          const databases = yield* PgDatabases.PgDatabases
          const run = (sql: string) => Effect.exit(databases.run(acme, (query) => query(sql)))
          yield* run("answered")

          const behindALock = yield* Effect.forkChild(run("never answered"))
          yield* TestClock.adjust("2 seconds")
          yield* run("answered")
          yield* TestClock.adjust("4 seconds")
          assert.isTrue(Exit.isFailure(yield* Fiber.join(behindALock)))
          assert.strictEqual(abandoned, 1)
          yield* run("answered")
          assert.strictEqual(opened, 1)

          const lost = yield* Effect.forkChild(run("never answered"))
          yield* TestClock.adjust("6 seconds")
          assert.isTrue(Exit.isFailure(yield* Fiber.join(lost)))
          assert.strictEqual(abandoned, 2)
          yield* run("answered")
          assert.strictEqual(opened, 2)

          // Else its pool would go on opening several at once, which a server that hangs would keep.
          yield* run("no connection is answered")
          yield* run("answered")
          assert.strictEqual(opened, 3)
        }).pipe(Effect.provide(over(Layer.succeed(Connector, connector))))
      })
  )
})

describe("statements with an address of their own", () => {
  it.effect(
    "G1: a pooler that is down does not keep the feed from opening a session, once both have reached one database",
    () =>
      Effect.gen(function* () {
        let isPoolerDown = true
        const query = (sql: string) =>
          Effect.succeed(sql === PgOneTenantPerDatabase.identify ? [{ system: "1", started: "1", database: "a" }] : [])
        const refused = (tenant: TenantId) =>
          Effect.fail(ConnectorError.of(tenant, new ConnectorError.ConnectFailed({ code: "ECONNREFUSED" })))
        const connector = Connector.of({
          sole: Option.none(),
          client: (tenant) =>
            isPoolerDown
              ? refused(tenant)
              : Effect.sync(
                  () => ({ unsafe: query, transactionService: TransactionConnection(0) }) as unknown as SqlClient
                ),
          session: () => Effect.succeed({ query, payloads: Effect.never, abandon: Effect.void }),
          interchangeable: () => Effect.succeed(false)
        })
        yield* Effect.gen(function* () {
          const open = Effect.exit(Effect.scoped(sessionOfFeed))
          assert.isTrue(Exit.isFailure(yield* open))
          isPoolerDown = false
          assert.isTrue(Exit.isSuccess(yield* open))
          isPoolerDown = true
          // Longer than an unused client is kept.
          yield* TestClock.adjust("1 minute")
          assert.isTrue(Exit.isSuccess(yield* open))
        }).pipe(Effect.provide(over(Layer.succeed(Connector, connector))))
      })
  )
})

describe("a connector of the application", () => {
  for (const [what, fault] of [
    ["dies", () => Effect.die(new Error("a fault"))],
    ["interrupts itself", () => Effect.interrupt],
    ["fails with another error", () => Effect.fail("a fault") as any],
    [
      "throws",
      () => {
        throw new Error("a fault")
      }
    ],
    ["yields nothing", () => Effect.succeed(undefined) as any]
  ] as ReadonlyArray<readonly [string, () => Effect.Effect<never>]>) {
    it.effect(`G13: a connector that ${what} has failed to connect, for statements, sessions and transactions`, () =>
      Effect.gen(function* () {
        const databases = yield* PgDatabases.PgDatabases
        const select = (query: Query) => query("SELECT 1")
        for (const use of [
          databases.run(acme, select),
          databases.runInTransaction(acme, select),
          databases.transaction(acme, select),
          databases.runAhead(acme, select),
          databases.session(acme)
        ]) {
          const { reason } = yield* Effect.flip(Effect.scoped<unknown, any, any>(use))
          assert.deepInclude(reason, { _tag: "ConnectFailed" })
        }
      }).pipe(
        Effect.provide(
          over(Layer.succeed(Connector, { sole: Option.none(), client: fault, session: fault, interchangeable: fault }))
        ),
        Effect.scoped
      )
    )
  }
})
