import { inMemory } from "./inMemory.ts"
import { listenFeedContract } from "./listenFeedContract.ts"
import { onPostgres } from "./onPostgres.ts"

listenFeedContract(inMemory, { inSteps: false })
listenFeedContract(onPostgres, { inSteps: true })
