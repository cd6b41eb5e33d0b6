import { defineConfig } from 'vitest/config'
import base from './vitest.config.ts'

/** What starts, stops and kills processes, and long tables of cases: minutes, so no part of `pnpm test`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['packages/*/{src,test}/**/*.slow.test.ts'],
    exclude: ['**/node_modules/**'],
    typecheck: { enabled: false },
  },
})
