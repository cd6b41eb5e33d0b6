import { readConfig } from './app.ts'
import { printBanner } from './commands/banner.ts'
import { serve } from './commands/serve.ts'
import { BootError } from './config.ts'

try {
  const config = readConfig({
    storageFallback: 'disk',
    // Leaves the screen to the lines below; LOG_LEVEL=info shows every request. And Ctrl-C ends it
    // without a pause: there is no load balancer that has to notice.
    defaults: { LOG_LEVEL: 'warn', DRAIN_DELAY: '0' },
  })
  await serve(config, (url) => printBanner(config, url, (line) => console.log(line)))
} catch (error) {
  console.error(error instanceof BootError ? error.message : error)
  process.exitCode = error instanceof BootError ? error.exitCode : 1
}
