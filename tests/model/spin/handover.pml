/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The hand-over of cells at one receive ring (src/vale/exchange.hh, receive.cc, deliver.cc; src/ring/wait_list.hh) as a protocol, in
 * sequentially consistent memory: each access to shared memory is one step. Senders; a receiver that gives back, audits, takes and
 * sleeps; the daemon. What may happen, by -D:
 *   DEATH    sender 0 dies between any two of its steps; the daemon sees it and asks for an audit
 *   STOP     sender 0 stops between any two, and goes on at any time, also after an audit has given up waiting for it
 *   GARBAGE  one word of the exchange is overwritten by somebody who then dies
 *   ROUNDS   syncs of each sender (2)
 *   SINGLE   each takes one cell, not one or two
 * Properties, at each delivery: nothing comes that was not sent, nothing twice, each sender's in order (not with GARBAGE). When nobody
 * can do anything any more: nobody sleeps while there is something for it; no audit is pending; each cell is in one place (with
 * GARBAGE not asked: a cell that it doubled comes to light with later traffic).
 */
#ifndef ROUNDS
#define ROUNDS 2
#endif
#define CELLS 2
#define SENDERS 2

/* the exchange. Positions only grow; free_tail is told as the code has it in tail_position(). */
byte free_ring[CELLS] = { 0, 1 };
byte free_head = 0, free_tail = CELLS;
byte stack_first = 0, stack_count = 0; /* one word; a cell + 1 */
byte next_cell[CELLS], next_chain[CELLS], packet[CELLS];
byte reset_wanted = 0;
bool spoiled = false;
bool any = false, listed = false; /* the wait list: one sleeper */

byte seq[SENDERS];
bool port_gone[SENDERS];
bool bell = false;

/* what happens to sender 0 */
bool dead = false, stopped = false, garbage_pending = false;
byte ended = 0;

/* for the properties */
byte sent[SENDERS];
#define PACKET(who, n) ((who) * 16 + (n) + 1)

inline wake() {
  if
  :: any ->
     atomic { old = any; any = false };
     if
     :: old ->
        atomic { old = listed; listed = false };
        if :: old -> bell = true :: else -> skip fi
     :: else -> skip
     fi
  :: else -> skip
  fi
}

inline ask() {
  reset_wanted++;
  /* The daemon empties the list, and rings for who may have been on it. */
  any = false;
  listed = false;
  bell = true
}

inline send(me) {
#ifdef SINGLE
  n = 1;
#else
  if :: n = 1 :: n = 2 fi;
#endif
  seq[me] = seq[me] | 1;
  h = free_head;
  do
  :: t = free_tail;
     if
     :: h == t -> n = 0; break
     :: t < h || t > h + CELLS ->
        old = free_head;
        if
        :: old == h -> n = 0; break
        :: else -> h = old
        fi
     :: else ->
        if :: n > t - h -> n = t - h :: else -> skip fi;
        a = free_ring[h % CELLS];
        if :: n == 2 -> b = free_ring[(h + 1) % CELLS] :: else -> skip fi;
        atomic {
          if
          :: free_head == h -> free_head = h + n; break
          :: else -> h = free_head
          fi
        }
     fi
  od;
  /* more free than there are, as told by a sender that got nothing */
  if
  :: n == 0 ->
     h = free_head; t = free_tail;
     if
     :: t > h + CELLS && free_head == h ->
        spoiled = true;
        wake()
     :: else -> skip
     fi
  :: else -> skip
  fi;
  /* numbers that are no cells are left out */
  d_step {
    if :: n == 2 && b >= CELLS -> n = 1 :: else -> skip fi;
    if :: n > 0 && a >= CELLS -> a = b; n = n - 1 :: else -> skip fi;
  }
  if
  :: n > 0 ->
     packet[a] = PACKET(me, sent[me]);
     if
     :: n == 2 ->
        packet[b] = PACKET(me, sent[me] + 1);
        next_cell[a] = b + 1;
        next_cell[b] = 0
     :: else -> next_cell[a] = 0
     fi;
     do
     :: atomic { old = stack_first; old_count = stack_count };
        next_chain[a] = old;
        atomic {
          if
          :: stack_first == old && stack_count == old_count ->
             stack_first = a + 1; stack_count = old_count + n; sent[me] = sent[me] + n; break
          :: else -> skip
          fi
        }
     od;
     wake()
  :: else -> skip
  fi;
  d_step { seq[me] = (seq[me] | 1) + 1; n = 0; h = 0; t = 0; a = 0; b = 0; old = 0; old_count = 0 }
}

#ifdef STOP
proctype Sender(byte me) provided (!(stopped && _pid == 3)) {
#else
proctype Sender(byte me) {
#endif
  byte round, n, h, t, a, b, old, old_count;
  {
    do
    :: round < ROUNDS -> send(me); round++
    :: round == ROUNDS -> break
    od
  }
#ifdef DEATH
  unless { me == 0 && dead }
#endif
  ;
  skip;
  d_step { n = 0; h = 0; t = 0; a = 0; b = 0; old = 0; old_count = 0; round = 0; ended++ }
}

/* Death and stops are told apart from the sender's own steps. */
active proctype Fate() {
  skip;
#ifdef DEATH
  if :: dead = true :: skip fi;
  /* The daemon: the port is gone, and what it could write is to be looked at. */
  if
  :: dead ->
     port_gone[0] = true;
     ask()
  :: else -> skip
  fi
#endif
#ifdef STOP
  if
  :: stopped = true;
     /* Somebody else asks for an audit meanwhile. */
     ask();
     stopped = false
  :: skip
  fi
#endif
#ifdef GARBAGE
  byte value;
  if :: value = 0 :: value = 1 :: value = 2 :: value = 5 fi;
  if
  :: free_ring[0] = value
  :: free_ring[1] = value
  :: free_head = value
  :: free_tail = value
  :: atomic { stack_first = value; stack_count = value }
  :: next_cell[0] = value
  :: next_chain[1] = value
  :: packet[0] = 99
  fi;
  ask()
#endif
}

inline put_free(c) {
  free_ring[position % CELLS] = c;
  position++
}

/* To the free ring, as far as there is one. */
inline recycle(c) {
  if :: resetting -> accounted[c] = true :: else -> skip fi;
  if
  :: resetting && drained
  :: else ->
     if :: resetting -> free_at[c] = position :: else -> skip fi;
     put_free(c)
  fi
}

inline give_back() {
  if
  :: shown_count > 0 ->
     position = free_tail;
     do
     :: shown_count > 0 ->
        c = shown[0];
        d_step { shown[0] = shown[1]; shown_count--; in_ring[c] = false };
        recycle(c)
     :: else -> break
     od;
     if :: !(resetting && drained) -> free_tail = position :: else -> skip fi;
     d_step { position = 0; c = 0 }
  :: else -> skip
  fi
}

inline place(c) {
  refused = in_ring[c];
  if
  :: !refused && resetting && accounted[c] && !drained && free_at[c] >= free_head -> refused = true
  :: else -> skip
  fi;
  if
  :: !refused ->
     p = packet[c];
     d_step {
       in_ring[c] = true; shown[shown_count] = c; shown_count++;
       if :: resetting -> accounted[c] = true :: else -> skip fi;
#ifndef GARBAGE
       assert(p > 0 && (p - 1) % 16 == got[(p - 1) / 16] && got[(p - 1) / 16] < sent[(p - 1) / 16]);
       got[(p - 1) / 16]++;
#endif
       p = 0
     }
  :: else -> skip
  fi
}

inline take() {
  if
  :: stack_first != 0 ->
     atomic { f = stack_first; k = stack_count; stack_first = 0; stack_count = 0 };
     chains = 0;
     do
     :: f != 0 && f <= CELLS && chains < CELLS -> chain[chains] = f - 1; chains++; f = next_chain[f - 1]
     :: else -> break
     od;
     bad = (f != 0);
     taken = 0;
     do
     :: chains > 0 ->
        chains--;
        c = chain[chains];
        n = 0;
        do
        :: c >= CELLS || n >= CELLS -> bad = true; break
        :: else ->
           place(c);
           if :: refused -> bad = true; break :: else -> skip fi;
           taken++; n++;
           f = next_cell[c];
           if :: f == 0 -> break :: else c = f - 1 fi
        od
     :: else -> break
     od;
     if :: bad || taken != k -> spoiled = true :: else -> skip fi;
     d_step { f = 0; k = 0; c = 0; n = 0; taken = 0; bad = false; chain[0] = 0; chain[1] = 0 }
  :: else -> skip
  fi
}

#define LEFT(s) (busy[s] == 0 || seq[s] != busy[s] || port_gone[s])
#define ALL_LEFT (LEFT(0) && LEFT(1))
#define RESET_WANTED (reset_wanted != reset_done || spoiled || (incomplete && ALL_LEFT))

inline begin_reset() {
  goal = reset_wanted;
  atomic { bad = spoiled; spoiled = false };
  resetting = true; drained = false; incomplete = false;
  h = free_head;
  d_step { accounted[0] = false; accounted[1] = false; free_at[0] = 0; free_at[1] = 0 };
  /* Does the free ring make sense? */
  h = free_head;
  position = free_tail;
  if
  :: !bad ->
     if
     :: position < h || position > h + CELLS -> bad = true
     :: else ->
        do
        :: !bad && h != position ->
           c = free_ring[h % CELLS];
           d_step {
             if
             :: c >= CELLS -> bad = true
             :: else ->
                if
                :: accounted[c] || in_ring[c] -> bad = true
                :: else -> accounted[c] = true; free_at[c] = h
                fi
             fi;
             h++
           }
        :: else -> break
        od
     fi
  :: else -> skip
  fi;
  if
  :: bad ->
     /* Made anew: all is taken off it. */
     h = free_head;
     free_tail = h;
     atomic { h = free_head; free_head = h + 1 };
     free_tail = h + 1;
     drained = true;
     d_step { accounted[0] = false; accounted[1] = false };
     do
     :: position >= h && position <= h + CELLS && h != position ->
        c = free_ring[h % CELLS];
        if :: c < CELLS -> accounted[c] = true :: else -> skip fi;
        h++
     :: else -> break
     od
  :: else -> skip
  fi;
  if :: (seq[0] & 1) && !port_gone[0] -> busy[0] = seq[0] | 1 :: else -> busy[0] = 0 fi;
  if :: (seq[1] & 1) && !port_gone[1] -> busy[1] = seq[1] | 1 :: else -> busy[1] = 0 fi;
  d_step { h = 0; c = 0; position = 0; bad = false }
}

/* Until it is done. Who is stopped is left behind. */
inline reset() {
  take();
  begin_reset();
  (ALL_LEFT || stopped) -> left = ALL_LEFT;
  take();
  position = free_tail;
  c = 0;
  do
  :: c < CELLS ->
     if
     :: in_ring[c] || (accounted[c] && !drained) || (!accounted[c] && !left)
     :: else -> put_free(c)
     fi;
     c++
  :: else -> break
  od;
  free_tail = position;
  reset_done = goal; resetting = false; drained = false; incomplete = !left;
  d_step { position = 0; c = 0; left = false; goal = 0;
    if :: !incomplete -> busy[0] = 0; busy[1] = 0 :: else -> skip fi;
    accounted[0] = false; accounted[1] = false; free_at[0] = 0; free_at[1] = 0 }
}

active proctype Receiver() {
  byte shown[CELLS], shown_count, got[SENDERS]; /* its ring: cells in slots, oldest first */
  bool in_ring[CELLS], resetting, drained, incomplete;
  byte reset_done;
  byte position, c, f, k, n, p, chains, taken, goal, h;
  byte chain[CELLS], busy[SENDERS], free_at[CELLS];
  bool accounted[CELLS], refused, bad, left;
  do
  :: bell = false;
     give_back();
     if :: RESET_WANTED -> reset() :: else -> skip fi;
     take();
     if
     :: shown_count > 0
     :: else ->
        listed = true;
        any = true;
        if
        :: stack_first != 0 || RESET_WANTED
        :: else ->
end_asleep:
           if
           :: bell -> skip
           :: timeout -> break
           fi
        fi
     fi
  od;
  /* Nobody can do anything any more. */
  skip;
  d_step {
    assert(ended == SENDERS && stack_first == 0);
    assert(reset_wanted == reset_done && !spoiled && !resetting);
#ifndef GARBAGE
    assert(got[0] == sent[0] && got[1] == sent[1]);
    assert(free_tail - free_head == CELLS);
    assert(free_ring[0] < CELLS && free_ring[1] < CELLS && free_ring[0] != free_ring[1]);
#endif
  }
}

init {
  atomic { run Sender(0); run Sender(1) }
}
