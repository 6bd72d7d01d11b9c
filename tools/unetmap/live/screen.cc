// SPDX-License-Identifier: BSD-2-Clause
#include "screen.hh"

#include <curses.h>
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdlib>

namespace unetmap::cli::live {
namespace {

constexpr const char* kKeys = "q quit  arrows, Enter: a port  s sort  r reverse  / filter  g gone  p pause  h help";

const std::vector<std::string>& help_lines() {
  static const std::vector<std::string> kLines = {
      "q            ends",
      "Up, Down     choose a port; PageUp, PageDown, Home, End likewise",
      "Enter        all of that port: who holds it, history, losses by cause",
      "Esc          back to the list",
      "s, S         sort by the next, the last: sent, received, bits, lost, fill, name",
      "r            the other way round",
      "/            only ports with a text in their name; Enter ends, Esc takes it off",
      "g            ports that have died lately, with their last counters",
      "p            pause",
      "+, -         look more, less often",
      "",
      "SENT, RECV   packets that the port's program sent and received, and bits",
      "SIZE         mean bytes of a packet",
      "TXQ, RXQ     how full the rings are: waiting to leave, not yet read",
      "LOST         packets lost at the port, whichever the cause",
      "WAKE         times that its program slept until something came",
      "STATE        run, sleep (in poll and its like), STOP (SIGSTOP, a debugger), nobdy (a plug",
      "             without its machine or peer), - (no program)",
  };
  return kLines;
}

}  // namespace

Result<std::unique_ptr<Screen>> Screen::open(const ViewOptions& options, double interval_s) {
  setlocale(LC_ALL, "");  // the history is drawn in UTF-8 where the terminal has it
  if (!newterm(nullptr, stdout, stdin)) {
    const char* term = getenv("TERM");
    winsize size{};
    constexpr uint32_t kMost = 1 << 20;  // characters
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && uint32_t{size.ws_row} * size.ws_col > kMost)
      return Error{ERANGE,
                   fmt::format("the terminal says that it has {} lines of {} characters; set that right (stty rows "
                               "24 cols 80), or use --plain",
                               size.ws_row, size.ws_col)};
    return Error{ENOTTY,
                 fmt::format("TERM={}: no terminal that is known here; set TERM, or use --plain", term ? term : "")};
  }
  cbreak();
  noecho();
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  set_escdelay(50);
  curs_set(0);
  if (has_colors()) {
    start_color();
    use_default_colors();
    init_pair(1, COLOR_RED, -1);
    init_pair(2, COLOR_YELLOW, -1);
  }
  return std::unique_ptr<Screen>(new Screen(options, interval_s));
}

Screen::~Screen() { endwin(); }

// Clipped at the screen's edge.
void Screen::put(int y, const std::string& text, int attributes) {
  if (y < 0 || y >= LINES) return;
  attron(attributes);
  mvaddnstr(y, 0, text.c_str(), int(text.size()));
  attroff(attributes);
}

void Screen::draw(const View& view) {
  erase();
  const std::vector<Row> rows = view.rows(options_);
  put(0, daemon_ ? view.summary() : "no daemon is running; it is looked for again", A_BOLD);
  if (page_ == Page::kHelp)
    draw_lines(help_lines());
  else if (page_ == Page::kGone)
    draw_lines(view.gone_lines());
  else if (const Row* row = page_ == Page::kPort ? selected(rows) : nullptr)
    draw_lines(view.page(*row, size_t(COLS)));
  else
    draw_ports(view, rows);
  std::string foot = typing_filter_          ? "filter: " + options_.filter + "_"
                     : page_ == Page::kPorts ? kKeys
                                             : "Esc: back  q: quit";
  put(LINES - 1, foot, A_REVERSE);
  refresh();
}

void Screen::draw_ports(const View& view, const std::vector<Row>& rows) {
  put(1, fmt::format("every {} s, sorted by {}{}{}{}", interval_s_, order_name(options_.order),
                     options_.reverse ? ", reversed" : "",
                     options_.filter.empty() ? "" : ", filter: " + options_.filter, paused_ ? "  PAUSED" : ""));
  put(2, View::head(), A_REVERSE);
  const size_t room = LINES > 4 ? size_t(LINES - 4) : 0;
  size_t chosen = 0;
  for (size_t i = 0; i < rows.size(); i++)
    if (rows[i].port->name == port_) chosen = i;
  if (port_.empty()) chosen = 0;
  if (chosen < scroll_) scroll_ = chosen;
  if (room && chosen >= scroll_ + room) scroll_ = chosen - room + 1;
  for (size_t i = 0; i < room && scroll_ + i < rows.size(); i++) {
    const Row& row = rows[scroll_ + i];
    int attributes = scroll_ + i == chosen && !port_.empty() ? A_REVERSE : 0;
    if (row.life == Life::kStopped)
      attributes |= COLOR_PAIR(1) | A_BOLD;
    else if (row.rate.lost > 0)
      attributes |= COLOR_PAIR(2);
    put(3 + int(i), View::line(row), attributes);
  }
  if (rows.empty())
    put(3, !daemon_ ? "" : options_.filter.empty() ? "no ports" : "no port has that in its name");
  else if (!view.has_rates())
    put(LINES - 2, "rates come with the second look");
}

void Screen::draw_lines(const std::vector<std::string>& lines) {
  if (lines.empty()) put(2, "nothing to show");
  for (size_t i = 0; i < lines.size() && int(i) < LINES - 3; i++) put(2 + int(i), lines[i]);
}

const Row* Screen::selected(const std::vector<Row>& rows) const {
  for (const Row& row : rows)
    if (row.port->name == port_) return &row;
  return nullptr;
}

bool Screen::take_keys(const View& view) {
  bool any = false;
  for (int pressed; (pressed = getch()) != ERR; any = true) {
    if (!typing_filter_ || !filter_key(pressed)) key(pressed, view);
  }
  return any;
}

// True if it was a key of the filter.
bool Screen::filter_key(int pressed) {
  if (pressed == '\n' || pressed == KEY_ENTER)
    typing_filter_ = false;
  else if (pressed == 27) {
    typing_filter_ = false;
    options_.filter.clear();
  } else if (pressed == KEY_BACKSPACE || pressed == 127 || pressed == 8) {
    if (!options_.filter.empty()) options_.filter.pop_back();
  } else if (pressed >= ' ' && pressed < 127)
    options_.filter += char(pressed);
  else
    return false;
  return true;
}

void Screen::key(int pressed, const View& view) {
  switch (pressed) {
    case 'q':
      ended_ = true;
      break;
    case 's':
      step_order(1);
      break;
    case 'S':
      step_order(-1);
      break;
    case 'r':
      options_.reverse = !options_.reverse;
      break;
    case '/':
      typing_filter_ = true;
      page_ = Page::kPorts;
      break;
    case 'g':
      page_ = page_ == Page::kGone ? Page::kPorts : Page::kGone;
      break;
    case 'h':
    case '?':
      page_ = page_ == Page::kHelp ? Page::kPorts : Page::kHelp;
      break;
    case 'p':
      paused_ = !paused_;
      break;
    case '+':
      interval_s_ = std::max(0.1, interval_s_ / 2);
      break;
    case '-':
      interval_s_ = std::min(3600.0, interval_s_ * 2);
      break;
    case 27:
      page_ = Page::kPorts;
      break;
    case '\n':
    case KEY_ENTER:
      if (port_.empty()) move_selection(view, 0);
      if (page_ == Page::kPorts && !port_.empty()) page_ = Page::kPort;
      break;
    case KEY_UP:
      move_selection(view, -1);
      break;
    case KEY_DOWN:
      move_selection(view, port_.empty() ? 0 : 1);
      break;
    case KEY_PPAGE:
      move_selection(view, -(LINES - 4));
      break;
    case KEY_NPAGE:
      move_selection(view, LINES - 4);
      break;
    case KEY_HOME:
      move_selection(view, -1'000'000);
      break;
    case KEY_END:
      move_selection(view, 1'000'000);
      break;
    default:
      break;
  }
}

void Screen::step_order(int by) {
  const int count = int(std::size(kOrders));
  for (int i = 0; i < count; i++)
    if (kOrders[i] == options_.order) {
      options_.order = kOrders[(i + by + count) % count];
      return;
    }
}

void Screen::move_selection(const View& view, int by) {
  const std::vector<Row> rows = view.rows(options_);
  if (rows.empty()) return;
  int at = 0;
  for (size_t i = 0; i < rows.size(); i++)
    if (rows[i].port->name == port_) at = int(i);
  port_ = rows[size_t(std::clamp(at + by, 0, int(rows.size()) - 1))].port->name;
}

}  // namespace unetmap::cli::live
