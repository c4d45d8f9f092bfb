/* What containers of the host lane say at their notify sockets: every argument is a datagram.
 *   say [-f COUNT] [-d] DATAGRAM...
 * -f: each so many times; -d: with eight descriptors beside it. \n in an argument is a line end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int say(int fd, const struct sockaddr_un *to, char *text, int with_descriptors) {
  int sent[8] = {0, 1, 2, 0, 1, 2, 0, 1};
  char control[CMSG_SPACE(sizeof(sent))];
  struct iovec data = {text, strlen(text)};
  struct msghdr message;
  memset(&message, 0, sizeof(message));
  memset(control, 0, sizeof(control));
  message.msg_name = (void *)to;
  message.msg_namelen = sizeof(*to);
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (with_descriptors) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(sent));
    memcpy(CMSG_DATA(head), sent, sizeof(sent));
  }
  return sendmsg(fd, &message, 0) < 0;
}

int main(int count, char **words) {
  struct sockaddr_un to;
  const char *path = getenv("NOTIFY_SOCKET");
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  long times = 1;
  int with_descriptors = 0;
  memset(&to, 0, sizeof(to));
  to.sun_family = AF_UNIX;
  if (path == NULL || strlen(path) >= sizeof(to.sun_path))
    return 2;
  strcpy(to.sun_path, path);
  for (int i = 1; i < count; ++i) {
    if (strcmp(words[i], "-d") == 0) {
      with_descriptors = 1;
      continue;
    }
    if (strcmp(words[i], "-f") == 0 && i + 1 < count) {
      times = atol(words[++i]);
      continue;
    }
    char *out = words[i];
    for (char *in = words[i]; *in != 0; ++in)
      if (in[0] == '\\' && in[1] == 'n') {
        *out++ = '\n';
        ++in;
      } else {
        *out++ = *in;
      }
    *out = 0;
    for (long n = 0; n < times; ++n)
      if (say(fd, &to, words[i], with_descriptors)) {
        perror("say");
        return 1;
      }
  }
  return 0;
}
