#include "tests/sim/sim_fs.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>

namespace gantry::sim {

namespace {

/// Takes the next part off a path; empty at its end.
std::string_view next_part(std::string_view& path) {
  const auto from = path.find_first_not_of('/');
  if (from == std::string_view::npos) {
    path = {};
    return {};
  }
  path.remove_prefix(from);
  const auto part = path.substr(0, path.find('/'));
  path.remove_prefix(part.size());
  return part;
}

void walk_below(const node& n, const std::string& path, std::vector<std::string>& out) {
  for (const auto& [name, child] : n.children) {
    const std::string full = path + "/" + name;
    out.push_back(full);
    if (child->dir)
      walk_below(*child, full, out);
  }
}

uint64_t bytes_below(const node& n) {
  uint64_t sum = n.bytes.size();
  for (const auto& [name, child] : n.children)
    sum += bytes_below(*child);
  return sum;
}

} // namespace

std::string normal_path(std::string_view path) {
  std::vector<std::string_view> parts;
  for (auto part = next_part(path); !part.empty(); part = next_part(path)) {
    if (part == ".")
      continue;
    if (part != "..")
      parts.push_back(part);
    else if (!parts.empty())
      parts.pop_back();
  }
  std::string out;
  for (auto p : parts)
    out.append("/").append(p);
  return out.empty() ? "/" : out;
}

file_tree::file_tree() : root_(std::make_shared<node>()) {
  root_->dir = true;
  root_->mode = 0755;
}

node_ptr file_tree::find(std::string_view path, int& why) const {
  if (path.empty() || path.front() != '/') {
    why = -ENOENT;
    return nullptr;
  }
  std::vector<node_ptr> way{root_};
  for (auto part = next_part(path); !part.empty(); part = next_part(path)) {
    if (!way.back()->dir) {
      why = -ENOTDIR;
      return nullptr;
    }
    if (part == ".")
      continue;
    if (part == "..") {
      if (way.size() > 1)
        way.pop_back();
      continue;
    }
    auto it = way.back()->children.find(part);
    if (it == way.back()->children.end()) {
      why = -ENOENT;
      return nullptr;
    }
    way.push_back(it->second);
  }
  why = 0;
  return way.back();
}

bool file_tree::exists(std::string_view path) const {
  int why = 0;
  return find(path, why) != nullptr;
}

node_ptr file_tree::parent(std::string_view path, std::string& name, int& why) const {
  while (path.size() > 1 && path.back() == '/')
    path.remove_suffix(1);
  const auto cut = path.rfind('/');
  if (cut == std::string_view::npos || path.size() < 2) {
    why = -EINVAL;
    return nullptr;
  }
  name = std::string(path.substr(cut + 1));
  auto dir = find(cut == 0 ? "/" : path.substr(0, cut), why);
  if (dir && !dir->dir) {
    why = -ENOTDIR;
    return nullptr;
  }
  return dir;
}

int file_tree::open(std::string_view path, int flags, mode_t mode, node_ptr& out) {
  int why = 0;
  out = find(path, why);
  if (!out) {
    if (why != -ENOENT || !(flags & O_CREAT))
      return why;
    std::string name;
    auto dir = parent(path, name, why);
    if (!dir)
      return why;
    out = std::make_shared<node>();
    out->mode = mode;
    dir->children.emplace(name, out);
    return 0;
  }
  if ((flags & O_CREAT) && (flags & O_EXCL))
    return -EEXIST;
  if (out->dir && (flags & O_ACCMODE) != O_RDONLY)
    return -EISDIR;
  if (!out->dir && (flags & O_DIRECTORY))
    return -ENOTDIR;
  if (flags & O_TRUNC)
    truncate(*out, 0);
  return 0;
}

int file_tree::mkdir(std::string_view path, mode_t mode) {
  int why = 0;
  if (find(path, why))
    return -EEXIST;
  std::string name;
  auto dir = parent(path, name, why);
  if (!dir)
    return why;
  auto n = std::make_shared<node>();
  n->dir = true;
  n->mode = mode;
  dir->children.emplace(name, std::move(n));
  return 0;
}

int file_tree::mkdirs(std::string_view path) {
  for (size_t at = 1; at != std::string_view::npos;) {
    at = path.find('/', at + 1);
    if (int rc = mkdir(path.substr(0, at), 0755); rc < 0 && rc != -EEXIST)
      return rc;
  }
  return 0;
}

int file_tree::unlink(std::string_view path) {
  int why = 0;
  std::string name;
  auto dir = parent(path, name, why);
  if (!dir)
    return why;
  auto it = dir->children.find(name);
  if (it == dir->children.end())
    return -ENOENT;
  if (it->second->dir)
    return -EISDIR;
  used_ -= it->second->bytes.size();
  dir->children.erase(it);
  return 0;
}

int file_tree::rmdir(std::string_view path) {
  int why = 0;
  std::string name;
  auto dir = parent(path, name, why);
  if (!dir)
    return why;
  auto it = dir->children.find(name);
  if (it == dir->children.end())
    return -ENOENT;
  if (!it->second->dir)
    return -ENOTDIR;
  if (!it->second->children.empty())
    return -ENOTEMPTY;
  dir->children.erase(it);
  return 0;
}

int file_tree::rename(std::string_view from, std::string_view to) {
  int why = 0;
  std::string old_name, new_name;
  auto old_dir = parent(from, old_name, why);
  if (!old_dir)
    return why;
  auto new_dir = parent(to, new_name, why);
  if (!new_dir)
    return why;
  auto it = old_dir->children.find(old_name);
  if (it == old_dir->children.end())
    return -ENOENT;
  auto moved = it->second;
  auto& place = new_dir->children[new_name];
  if (place && place != moved) {
    if (place->dir && !moved->dir)
      return -EISDIR;
    if (!place->dir && moved->dir)
      return -ENOTDIR;
    if (!place->children.empty())
      return -ENOTEMPTY;
    used_ -= place->bytes.size();
  }
  if (place == moved)
    return 0;
  place = moved;
  old_dir->children.erase(old_name);
  return 0;
}

int file_tree::list(std::string_view path, std::vector<std::string>& out) const {
  int why = 0;
  auto dir = find(path, why);
  if (!dir)
    return why;
  if (!dir->dir)
    return -ENOTDIR;
  for (const auto& [name, child] : dir->children)
    out.push_back(name);
  return 0;
}

int file_tree::put(std::string_view path, std::string bytes, mode_t mode) {
  node_ptr n;
  if (int rc = open(path, O_CREAT | O_TRUNC | O_WRONLY, mode, n); rc < 0)
    return rc;
  used_ += bytes.size();
  n->bytes = std::move(bytes);
  return 0;
}

std::string file_tree::get(std::string_view path) const {
  int why = 0;
  auto n = find(path, why);
  return n ? n->bytes : std::string();
}

int file_tree::remove_all(std::string_view path) {
  int why = 0;
  std::string name;
  auto dir = parent(path, name, why);
  if (!dir)
    return why;
  auto it = dir->children.find(name);
  if (it == dir->children.end())
    return -ENOENT;
  used_ -= bytes_below(*it->second);
  dir->children.erase(it);
  return 0;
}

std::vector<std::string> file_tree::walk(std::string_view path) const {
  std::vector<std::string> out;
  int why = 0;
  if (auto n = find(path, why))
    walk_below(*n, std::string(path), out);
  return out;
}

ssize_t file_tree::write_at(node& n, std::string_view bytes, uint64_t offset) {
  const uint64_t end = offset + bytes.size();
  if (end > n.bytes.size()) {
    const uint64_t room = capacity > used_ ? capacity - used_ : 0;
    const uint64_t allowed = n.bytes.size() + room;
    if (allowed <= offset && !bytes.empty())
      return -ENOSPC;
    if (end > allowed)
      bytes = bytes.substr(0, allowed - offset);
  }
  const uint64_t grown = offset + bytes.size();
  if (grown > n.bytes.size()) {
    used_ += grown - n.bytes.size();
    n.bytes.resize(grown);
  }
  std::memcpy(n.bytes.data() + offset, bytes.data(), bytes.size());
  return ssize_t(bytes.size());
}

int file_tree::truncate(node& n, uint64_t size) {
  used_ -= n.bytes.size();
  n.bytes.resize(size);
  used_ += size;
  return 0;
}

} // namespace gantry::sim
