# The service and its commands. By itself it serves the local backend, with its data in the volume /data:
# docker run -p 127.0.0.1:8080:8080 -v pixdepot:/data IMAGE
FROM python:3.13-slim
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY service service
COPY lambda_adapter lambda_adapter
COPY bootstrap bootstrap
COPY pixdepot pixdepot
# A new volume at /data takes over the owner of the directory.
RUN pip install --no-cache-dir -c constraints.txt . && install -d -m 0700 -o 10001 -g 10001 /data
# Inside a container every address is the container network's, so open auth has to be allowed there. Who reaches the
# service is decided by -p: publish the port on 127.0.0.1, or ask for tokens (PIXDEPOT_AUTH=jwt).
ENV HOME=/tmp PIXDEPOT_DATA_DIR=/data PIXDEPOT_ALLOW_OPEN_AUTH=1
USER 10001:10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=6s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/ready')"]
ENTRYPOINT ["pixdepot"]
CMD ["serve", "--host", "0.0.0.0"]
