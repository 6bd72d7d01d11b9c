// SPDX-License-Identifier: BSD-2-Clause
// The terminal of `unetmap top`: keys, and where each line of the view goes.
#pragma once

#include <memory>
#include <string>

#include "base/result.hh"
#include "view.hh"

namespace unetmap::cli::live {

class Screen {
 public:
  // Takes the terminal; it is given back when the Screen goes. Fails where TERM names none.
  static Result<std::unique_ptr<Screen>> open(const ViewOptions& options, double interval_s);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void set_daemon(bool runs) { daemon_ = runs; }
  void draw(const View& view);
  // Carries out the keys pressed by now; true if something is to be drawn anew.
  bool take_keys(const View& view);
  bool paused() const { return paused_; }
  bool ended() const { return ended_; }
  double interval_s() const { return interval_s_; }

 private:
  enum class Page { kPorts, kPort, kGone, kHelp };

  Screen(const ViewOptions& options, double interval_s) : options_(options), interval_s_(interval_s) {}
  void draw_ports(const View& view, const std::vector<Row>& rows);
  void draw_lines(const std::vector<std::string>& lines);
  void put(int y, const std::string& text, int attributes = 0);
  void key(int key, const View& view);
  bool filter_key(int key);
  void step_order(int by);
  void move_selection(const View& view, int by);
  const Row* selected(const std::vector<Row>& rows) const;

  ViewOptions options_;
  double interval_s_;
  Page page_ = Page::kPorts;
  std::string port_;  // the selected one's name; it stays selected wherever sorting moves it
  bool daemon_ = false, paused_ = false, ended_ = false, typing_filter_ = false;
  size_t scroll_ = 0;
};

}  // namespace unetmap::cli::live
