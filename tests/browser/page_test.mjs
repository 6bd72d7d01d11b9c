// SPDX-License-Identifier: BSD-2-Clause
// The page of `unetmap serve` in a real browser: what it shows, that it moves, a port's page, the capture button, a setting, another
// site's page that tries the same. usage: node page_test.mjs URL FOLDER    (vale0:rx and vale0:tx run; FOLDER gets screenshots)
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { chromium } from 'playwright-core';

const [url, folder] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const context = await browser.newContext({ viewport: { width: 1100, height: 1300 }, acceptDownloads: true });
  const page = await context.newPage();
  const problems = [], outside = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
  page.on('request', (request) => { if (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) outside.push(request.url()); });

  await page.goto(url);
  await page.waitForSelector('#rows tr[data-port="vale0:tx"]');
  const moving = (port) => page.waitForFunction((name) => {
    const row = document.querySelector(`#rows tr[data-port="${name}"]`);
    return row && row.children[2].textContent !== '0';
  }, port, { timeout: 60000 });
  await moving('vale0:tx');
  assert.match(await page.textContent('#summary'), /^\d+ ports, 1 switch; sent /);
  assert.match(await page.textContent('#topology'), /vale0 \(2 ports\)/);
  // A name is text, whatever a program puts into it.
  assert.equal(await page.evaluate(() => document.querySelectorAll('#rows script, #rows img').length), 0);
  if (await page.evaluate(() => typeof uPlot !== 'undefined')) {
    await page.waitForSelector('#chart canvas');
    await page.waitForFunction(() => document.querySelector('#chart .u-legend'));
  } else {
    assert.match(await page.textContent('#chart-note'), /not installed/);
  }
  await page.screenshot({ path: path.join(folder, 'page.png'), fullPage: true });

  await page.fill('#filter', ':rx');
  await page.waitForFunction(() => document.querySelectorAll('#rows tr').length === 1);
  await page.fill('#filter', '');
  await page.click('#topology g.port[data-port="vale0:tx"]');
  await page.waitForSelector('#port:not([hidden])');
  assert.match(await page.textContent('#port-title'), /vale0:tx/);
  await page.waitForFunction(() => /\d+ packets/.test(document.querySelector('#port-facts').textContent));
  await page.screenshot({ path: path.join(folder, 'port.png'), fullPage: true });

  const [download] = await Promise.all([page.waitForEvent('download', { timeout: 60000 }), page.click('#capture')]);
  const file = path.join(folder, 'browser.pcapng');
  await download.saveAs(file);
  assert.equal(fs.readFileSync(file).readUInt32LE(0), 0x0a0d0d0a);
  assert.match(download.suggestedFilename(), /^vale0_tx\.pcapng$/);

  await page.click('#lossless');
  await page.waitForFunction(() => /lossless/.test(document.querySelector('#rows tr[data-port="vale0:tx"]').textContent), null, { timeout: 30000 });

  // A phone.
  await page.setViewportSize({ width: 390, height: 800 });
  await page.waitForTimeout(0);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth + 1), 'wider than the window');
  await page.screenshot({ path: path.join(folder, 'narrow.png') });

  // Another site: it can neither read nor change anything, and cannot put the page into a frame.
  const site = http.createServer((request, reply) => reply.setHeader('Content-Type', 'text/html').end('<title>other</title>'));
  await new Promise((ready) => site.listen(0, '127.0.0.1', ready));
  const other = await context.newPage();
  await other.goto(`http://localhost:${site.address().port}/`);
  const tried = await other.evaluate(async (target) => {
    const out = {};
    out.read = await fetch(`${target}api/live`).then(() => 'read', () => 'refused');
    out.change = await fetch(`${target}api/set`, { method: 'POST', mode: 'no-cors', body: '{"port":"vale0:rx","rate":1}' }).then(() => 'sent', () => 'refused');
    const frame = document.createElement('iframe');
    frame.src = target;
    document.body.append(frame);
    await new Promise((done) => { frame.onload = frame.onerror = done; });
    try { out.frame = frame.contentDocument ? 'blank' : 'opaque'; } catch { out.frame = 'opaque'; }
    return out;
  }, url);
  assert.equal(tried.read, 'refused');
  const ports = await page.evaluate(() => fetch('/api/ports').then((reply) => reply.json()));
  assert.equal(ports.ports.find((port) => port.name === 'vale0:rx').rate, undefined, 'another site changed a port');
  site.close();

  assert.deepEqual(outside, [], 'the page asks somebody else');
  assert.deepEqual(problems, []);
  console.log('ok');
} finally {
  await browser.close();
}
