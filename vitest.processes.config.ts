import { defineConfig } from 'vitest/config'
import base from './vitest.config.ts'

/** What starts, stops and kills processes, the CLI's among them: minutes of waiting, so no part of `pnpm test`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['packages/*/{src,test}/**/*.processes.test.ts'],
    exclude: ['**/node_modules/**'],
    typecheck: { enabled: false },
  },
})
