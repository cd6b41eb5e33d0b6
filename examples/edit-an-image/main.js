// NANOBANANA_API_KEY=nb_test_… node main.js banana.jpg "give it a hat"
import { NanoBanana } from '@nanobanana/sdk'

const [file, prompt = 'give it a hat'] = process.argv.slice(2)
if (file === undefined) throw new Error('usage: node main.js <picture> [what to change]')

const client = new NanoBanana()

// A path is read by the SDK; bytes, blobs and streams are taken too. PNG, JPEG or WebP.
const first = await client.generate({ prompt, images: [file], output_format: 'webp' })
await first.images[0].save('edited.webp')
console.log('edited.webp')

// What the service made before need not be sent again: its id is enough.
const night = await client.generate({
  prompt: 'the same at night',
  images: [{ generation_id: first.id }],
  output_format: 'webp',
  n: 2,
})
for (const [i, image] of night.images.entries()) {
  await image.save(`night-${i + 1}.webp`)
  console.log(`night-${i + 1}.webp`)
}
// Some of several may fail; then the others are here, and they are what is charged.
for (const { message } of night.warnings) console.warn(message)
