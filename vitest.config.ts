import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

// One worker less than cores is one worker on a small machine, where most tests wait for a database.
const maxWorkers = Math.max(2, availableParallelism() - 1)

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node', 'module-sync', 'default'] } },
  test: {
    include: ['packages/*/{src,test}/**/*.test.ts', 'scripts/**/*.test.ts'],
    globalSetup: ['packages/server/test/template.ts'],
    maxWorkers,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    typecheck: {
      enabled: true,
      include: ['packages/*/{src,test}/**/*.test-d.ts'],
      tsconfig: 'tsconfig.json',
    },
  },
})
